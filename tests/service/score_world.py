"""A `score` job with real files and a made-up scorer, for the tests of that service."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample, Scores
from star_agents.scoring.settings import ScoringSettings
from star_agents.service.scores.identity import ScoreSpec
from star_agents.service.scores.job import CrewedScorer, ScoreJob, ScoreResult, run_score
from star_agents.service.scores.progress import ScoreStatus
from tests.fakes.scoring import length_score


@dataclass
class Crew:
    """`CrewedScorer` by the lengths of texts. It fails in the call that exceeds `patience`."""

    patience: int | None = None
    capacity: int = 2
    fingerprint: dict[str, str] = field(default_factory=lambda: {"torch": "2.11", "device": "cpu"})
    tokens: int = 0
    asked: list[list[Sample]] = field(default_factory=list)
    times_opened: int = 0

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        if self.patience is not None and len(self.asked) >= self.patience:
            raise ScorerError("the scorer is tired")
        self.asked.append(list(samples))
        self.tokens += 10 * len(samples)
        await asyncio.sleep(0)
        return list(map(length_score, samples))

    def snapshot(self) -> "Crew":
        return self

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[CrewedScorer]:
        self.times_opened += 1
        yield self


def write_data(path: Path, num_rows: int) -> None:
    """Rows of all sorts: three have no instruction, every fifth no response."""
    rows: list[dict[str, Any]] = []
    for number in range(num_rows):
        row = {"instruction": f"Say {number}." * (1 + number % 3), "output": "" if number % 5 == 1 else "ä " * number}
        rows.append({"output": "lost"} if number in {54, 61, 68} else row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_job(folder: Path, **changes: Any) -> ScoreJob:  # noqa: ANN401  # whatever a job has
    """A job on `data.jsonl` of a folder, with blocks of four rows; changes go to whichever part knows them."""
    settings: dict[str, Any] = {"small": "org/small", "large": "org/large", "device": "cpu"}
    spec: dict[str, Any] = {"small": "org/small", "large": "org/large", "texts": False, "block_rows": 4}
    job: dict[str, Any] = {"data": str(folder / "data.jsonl"), "out": folder / "scores.jsonl"}
    for name, value in changes.items():
        for known in (part for part in (spec, job) if name in part):
            known[name] = value
        if name in ScoringSettings.__dataclass_fields__:
            settings[name] = value
        if name in {"fresh", "selection", "selected_out"}:
            job[name] = value
    return ScoreJob(spec=ScoreSpec(settings=ScoringSettings(**settings), **spec), **job)


async def do(job: ScoreJob, crew: Crew, seen: list[ScoreStatus] | None = None) -> ScoreResult:
    """Do a job; what is seen of it is noted at every turn of the loop."""

    async def observe(look: Callable[[], ScoreStatus]) -> None:
        while seen is not None:
            seen.append(look())
            await asyncio.sleep(0.0005)

    return await run_score(job, crew.opened, observe)
