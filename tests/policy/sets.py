"""Candidate sets for tests, in one line each."""

from collections.abc import Mapping, Sequence

from star_agents.core.calls import Failure, FinishReason, Purpose
from star_agents.core.records import (
    AgentPair,
    Candidate,
    Grade,
    Graded,
    ModelScore,
    Outcome,
    Plan,
    RowSource,
    Scores,
    ScoreStatus,
    Seed,
    Selection,
    Settled,
    Slot,
    Verdict,
    VerdictSource,
)

SEED = Seed(7, "Name the capital of France.", "It is Paris.")


def pairs(count: int) -> tuple[AgentPair, ...]:
    """Pairs (keep, r0), (keep, r1), ..."""
    return tuple(AgentPair("keep", f"r{number}") for number in range(count))


def answer(slot: int, response: str = "", *, cut: bool = False) -> Candidate:
    """A candidate that answers the seed; by default each slot in its own words."""
    finish = FinishReason.LENGTH if cut else FinishReason.STOP
    return Candidate(slot, SEED.question, response or f"Paris, says slot {slot}.", "model", finish)


def failure(slot: int) -> Failure:
    """A slot that ended without an answer."""
    return Failure(slot, Purpose.RESPOND, "timeout", "no answer", "endpoint")


def settled(outcomes: Sequence[Outcome], *, num_base: int = 1, seed: Seed = SEED) -> Settled:
    """A seed whose first `num_base` slots are base pairs."""
    named = pairs(len(outcomes))
    slots = tuple(Slot(number, pair, is_base=number < num_base) for number, pair in enumerate(named))
    return Settled(Plan(seed, slots, weights_version=0), tuple(outcomes))


def ifd(value: float | None, status: ScoreStatus = ScoreStatus.OK) -> ModelScore:
    """A model's score that is only an IFD."""
    return ModelScore(status, ifd=value)


def scores(gaps: Mapping[int, float | None]) -> dict[int, Scores]:
    """Scores whose gap is as given, exactly; None is a response too short to score."""
    return {
        slot: Scores(ifd(None, ScoreStatus.TOO_SHORT), ifd(0.0)) if gap is None else Scores(ifd(gap), ifd(0.0))
        for slot, gap in gaps.items()
    }


def verdicts(values: Mapping[int, float]) -> dict[int, Verdict]:
    """Verdicts of the judge by slot."""
    return {slot: Verdict(slot, value, VerdictSource.JUDGE) for slot, value in values.items()}


def graded(pis: Sequence[float | None], *, num_base: int = 1, winner: int | None = None) -> Graded:
    """A finished seed of which only the pi of each slot is told."""
    item = settled([answer(slot) for slot in range(len(pis))], num_base=num_base)
    grades = tuple(Grade(slot, pi=pi) for slot, pi in enumerate(pis))
    source = RowSource.DROPPED
    if winner is not None:
        source = RowSource.BASE if winner < num_base else RowSource.CANDIDATE
    return Graded(item, {}, {}, grades, Selection(source, winner))
