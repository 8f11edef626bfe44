"""What each finished seed gives to a data set: a row, a preference pair, or the reason why nothing. Pure.

Law: every finished seed is either a `Pick` or a `Left`, so what an export counts adds up to what the run finished.

A preference pair is the seed's winner against the worst loser whose score is known to be lower by the margin. A loser
that lazy judging spared has no pi, but it has an upper bound: pi = pi_dual * pi_llm <= pi_dual (Eq. 7).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from star_agents.core.records import Grade
from star_agents.policy.selection import TRUNCATED
from star_agents.storage.formats import Example
from star_agents.storage.lineage import losers, selected
from star_agents.storage.rows import FinishedRow

NO_SCORE = "export.no_score"
BELOW_MIN_SCORE = "export.min_score"
NO_LOSER = "export.no_loser"
BELOW_MARGIN = "export.margin"
DUPLICATE = "export.duplicate"
CONTAMINATED = "export.contaminated"
"""Reasons of an export; those of the run itself have no dot (docs/judge.md, docs/policy.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What one seed gives. `rejected` is the losing answer, of a preference pair only.

    `split_key` tells the seed apart whatever its position; `embedding` is of `example.question`, or empty. `others` are
    the candidates that lost, where they were asked for.
    """

    example: Example
    rejected: Example | None = None
    split_key: str
    embedding: bytes = field(default=b"", repr=False)
    others: tuple[Example, ...] = ()

    @property
    def seed(self) -> int:
        """The seed's number."""
        return int(self.example.metadata["seed"] or 0)

    @property
    def responses(self) -> tuple[str, ...]:
        """Every answer that a trainer would see."""
        return (self.example.response,) + (() if self.rejected is None else (self.rejected.response,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A seed that gives nothing: why, and where that needs it, which other or what text it was."""

    seed: int
    source_id: str
    reason: str
    pi: float | None
    detail: str = ""
    others: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Which losers make a pair: `margin` is in units of pi, above 0 in any case.

    With `any_prompt` a loser may have answered another wording of the instruction than the winner did; the pair then
    shows it under the winner's. Off, a pair is two answers to the same text, as DPO defines it (Rafailov et al. 2023).
    """

    margin: float = 0.0
    any_prompt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is taken: rows of at least `min_score`, pairs where there are `preferences`, and the losers beside them."""

    min_score: float | None = None
    preferences: Preferences | None = None
    with_losers: bool = False


TAKE_ALL = Choice()


def picks(rows: Iterable[FinishedRow], choice: Choice) -> Iterator[Pick | Left]:
    """A pick or a reason for every row."""
    for row in rows:
        yield _picked(row, choice)


def left(pick: Pick, reason: str, detail: str = "") -> Left:
    """A pick that somebody leaves out."""
    metadata = pick.example.metadata
    pi = metadata["pi"]
    assert pi is None or isinstance(pi, float)  # noqa: S101  # the type of the key
    return Left(seed=pick.seed, source_id=str(metadata["source_id"]), reason=reason, pi=pi, detail=detail)


def _picked(row: FinishedRow, choice: Choice) -> Pick | Left:
    seed, selection = row.graded.settled.plan.seed, row.graded.selection
    others = tuple(losers(row)) if choice.with_losers else ()
    example = selected(row)
    if example is None:
        reason, source_id = selection.reason or "unknown", seed.source_id or ""
        return Left(seed=seed.number, source_id=source_id, reason=reason, pi=selection.pi, others=others)
    embedding = row.graded.settled.plan.embedding if example.question == seed.question else b""
    pick = Pick(example=example, split_key=seed.source_id or seed.question, embedding=embedding, others=others)
    if choice.min_score is not None:
        pi = example.metadata["pi"]
        if pi is None:
            return left(pick, NO_SCORE)
        if float(pi) < choice.min_score:
            return left(pick, BELOW_MIN_SCORE)
    return pick if choice.preferences is None else _paired(row, pick, choice.preferences)


def _paired(row: FinishedRow, pick: Pick, preferences: Preferences) -> Pick | Left:
    winner = pick.example
    pi, grades = winner.metadata["pi"], {grade.slot: grade for grade in row.graded.grades}
    rated = [
        (bound, slot, loser)
        for loser in losers(row)
        if isinstance(slot := loser.metadata["slot"], int) and (bound := _bound(grades[slot])) is not None
        if preferences.any_prompt or loser.instruction == winner.instruction
        if loser.response != winner.response
    ]
    if pi is None or not rated:
        return left(pick, NO_LOSER)
    bound, _, worst = min(rated, key=lambda each: each[:2])
    lead = float(pi) - bound
    if lead <= 0 or lead < preferences.margin:
        return left(pick, BELOW_MARGIN, f"{lead:.3f}")
    return replace(pick, rejected=worst)


def _bound(grade: Grade) -> float | None:
    """The most that a loser's pi can be; None where nothing is known, or its text was cut."""
    if grade.reason == TRUNCATED:
        return None
    return grade.pi if grade.pi is not None else grade.pi_dual
