"""Finished seeds to look at closely: all of a small run, a fixed sample of a large one. Pure.

Law: whether a seed is in the sample depends on its number and on the share alone, so the same run gives the same
report, and memory is bounded by the size of the sample however long the run was.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from star_agents.core.records import Candidate, ModelScore, RowSource, VerdictSource
from star_agents.policy.selection import NO_POSITIVE_PI
from star_agents.storage.rows import FinishedRow
from star_agents.storage.splits import split_of

SAMPLE_ROWS = 4_000
"""Seeds of a sample, about; with their texts some 40 MB at the most."""

MAX_TEXT_CHARS = 2_000
"""Characters that are kept of a text."""


@dataclass(frozen=True, slots=True)
class Point:
    """One scored candidate: IFD under the small and the large model (Eq. 4)."""

    small: float
    large: float
    is_selected: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate that the judge compared with the base: how much longer it was, and what came of it."""

    length_ratio: float
    """Characters of its response by those of the base's."""
    pi_llm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRow:
    """What a report needs of a finished seed. Texts are cut; `pair` is empty where the seed's own row was kept."""

    seq: int
    seed: int
    source: RowSource
    reason: str
    pair: str
    pi: float | None
    gap: float | None
    asked: str
    answered: str
    instruction: str
    response: str
    points: tuple[Point, ...]
    judged: tuple[Judged, ...]
    embedding: bytes = field(repr=False)

    @property
    def is_fallback(self) -> bool:
        """True where no candidate earned anything, and a row was taken all the same."""
        return self.reason == NO_POSITIVE_PI and self.source is not RowSource.DROPPED


def sampler(finished: int) -> tuple[float, Callable[[int], bool]]:
    """The share of the seeds that is looked at, and which they are."""
    share = 1.0 if finished <= SAMPLE_ROWS else SAMPLE_ROWS / finished
    return share, lambda seed: share == 1.0 or split_of(f"report-{seed}", share) == "test"


def sampled(row: FinishedRow) -> SampledRow:
    """The part of a finished row that is kept."""
    graded = row.graded
    settled, selection = graded.settled, graded.selection
    seed, slots = settled.plan.seed, settled.plan.slots
    taken = next((one for one in settled.candidates() if one.slot == selection.slot), None)
    gap = next((grade.gap for grade in graded.grades if grade.slot == selection.slot), None)
    return SampledRow(
        seq=row.seq,
        seed=seed.number,
        source=selection.source,
        reason=selection.reason or "",
        pair=str(slots[taken.slot].pair) if taken else "",
        pi=selection.pi,
        gap=gap if taken else None,
        asked=seed.question[:MAX_TEXT_CHARS],
        answered=seed.response[:MAX_TEXT_CHARS],
        instruction=(taken.instruction if taken else "")[:MAX_TEXT_CHARS],
        response=(taken.response if taken else "")[:MAX_TEXT_CHARS],
        points=tuple(_points(row)),
        judged=tuple(_judged(row)),
        embedding=settled.plan.embedding,
    )


def _points(row: FinishedRow) -> list[Point]:
    points = []
    for slot, scores in sorted(row.graded.scores.items()):
        small, large = _ifd(scores.small), _ifd(scores.large)
        if small is not None and large is not None:
            points.append(Point(small, large, slot == row.graded.selection.slot))
    return points


def _judged(row: FinishedRow) -> list[Judged]:
    base = row.graded.settled.reference()
    if base is None or not base.response:
        return []
    by_slot: dict[int, Candidate] = {one.slot: one for one in row.graded.settled.candidates()}
    return [
        Judged(len(by_slot[slot].response) / len(base.response), verdict.pi_llm)
        for slot, verdict in sorted(row.graded.verdicts.items())
        if verdict.source is VerdictSource.JUDGE and slot in by_slot
    ]


def _ifd(score: ModelScore | None) -> float | None:
    return None if score is None else score.ifd
