"""A run made to last: real processes of ours, a mock endpoint with faults, more seeds than it can do.

The scorers are tiny and random, so that what is measured is the service and not the models.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.harness.samples import endless, rows_of
from star_agents.storage.database import reader
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import recover
from star_agents.storage.rows import iter_rows
from tests.process.harness import Run, mock_endpoint, tiny_models

FAULTS = ("mendable:0.04", "black_hole:0.0025", "html:0.0025", "http_400:0.0025", "silent:0.0025")
"""One send in twenty fails; of those most, but not all, are mended by a further try."""

WORDS = 12
"""Of a seed: the tiny scorers see 256 tokens."""

MEMORY = 200
"""Entries of the memory bank: it is full within the warm-up, so that it is not taken for a leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run has to do: answers take `latency_ms`, `concurrency` of them at once."""

    latency_ms: int = 1000
    concurrency: int = 6
    seeds_in_flight: int = 4
    num_seeds: int = 20_000
    faults: tuple[str, ...] = FAULTS


@contextmanager
def lasting_run(folder: Path, load: Load, *, seed: int = 17, **changes: dict[str, Any]) -> Iterator[Run]:
    """A run in a folder, not started yet, and the endpoint that it will ask; `changes` are by section of the config."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = folder / "seeds.jsonl"
    seeds.write_text("".join(_seed(number, row.instruction) for number, row in enumerate(_rows(load.num_seeds))))
    flags = ["--latency-ms", str(load.latency_ms), "--latency-sigma", "0.3", "--tokens", "40"]
    for fault in load.faults:
        flags += ["--fault", fault]
    with mock_endpoint(folder, *flags) as endpoint:
        smol = {
            "kind": "openai",
            "base_url": endpoint.base_url,
            "model": "m",
            "concurrency": load.concurrency,
            "retry_truncated": False,
            "timeouts": {"first_byte_s": 8.0, "total_s": 20.0},
        }
        ours: dict[str, dict[str, Any]] = {
            "run": {"seed": seed},
            "seeds": {"path": str(seeds)},
            "endpoints": {"smol": smol},
            "sampling": {"max_in_flight": load.seeds_in_flight},
            "memory": {"capacity": MEMORY},
        }
        yield Run(folder, endpoint, tiny_models(folder), ours | changes)


@dataclass(frozen=True, slots=True)
class Whole:
    """What a run at rest holds, against what it planned and what its endpoint saw."""

    finished: int
    left_open: int
    lost: int
    doubled: int
    bought_twice: int
    """Right answers to a call that had had one."""
    is_sound: bool
    """SQLite finds no fault with its file."""

    def __str__(self) -> str:
        return (
            f"{self.finished} seeds, {self.left_open} left open, {self.doubled} doubled, {self.lost} lost; "
            f"{self.bought_twice} answers bought twice"
        )


def whole(run: Run) -> Whole:
    """Look through a run that has ended. Every seed that was ever planned is done or open, and once."""
    database = RunFolder(run.run_dir).database
    finished = [row.graded.settled.plan.seed.number for row in iter_rows(database)]
    found = recover(database, capacity=1)
    held = [*finished, *(plan.seed.number for plan in found.open_plans)]
    with reader(database) as connection:
        is_sound = connection.pragma("quick_check") == "ok"
    return Whole(
        finished=len(finished),
        left_open=len(found.open_plans),
        lost=len(set(range(found.standing.next_seed)) - set(held)),
        doubled=len(held) - len(set(held)),
        bought_twice=int(mock_stats(run)["served_again"]),
        is_sound=is_sound,
    )


def mock_stats(run: Run) -> dict[str, Any]:
    """What the endpoint of a run has counted."""
    with urlopen(f"{run.endpoint.base_url.removesuffix('/v1')}/mock/stats") as reply:  # noqa: S310  # our own server
        told: dict[str, Any] = json.load(reply)
    return told


def _rows(count: int) -> Iterator[Any]:
    return islice(endless(rows_of()), count)


def _seed(number: int, instruction: str) -> str:
    words = " ".join(instruction.split()[:WORDS])
    return json.dumps({"instruction": f"{words} ({number})", "input": "", "output": ""}) + "\n"
