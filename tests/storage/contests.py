"""Finished seeds in which several answers compete, to export and to report on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from star_agents.core.calls import FinishReason
from star_agents.core.records import (
    KEEP,
    AgentPair,
    Candidate,
    Grade,
    Graded,
    ModelScore,
    PairTally,
    PairWeights,
    Plan,
    RowSource,
    Scores,
    ScoreStatus,
    Seed,
    Selection,
    Settled,
    Slot,
    Tally,
    Update,
    Verdict,
    VerdictSource,
)
from star_agents.storage.manifest import Manifest
from star_agents.storage.rows import FinishedRow
from star_agents.storage.store import RunStore
from tests.storage.examples import MANIFEST, asked, completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one slot came to; slot 0 is the base. Without `pi` lazy judging spared it."""

    text: str
    pi: float | None = None
    pi_dual: float = 1.0
    instruction: str | None = None
    """None: the seed's own."""
    agents: tuple[str, str] = (KEEP, "strong")
    reason: str | None = None


def contest(number: int, answers: Sequence[Answer], *, winner: int | None = 0, text: str = "", **seed: str) -> Graded:
    """A seed with these answers, of which one was taken, or none."""
    asked_of = Seed(number, text or f"Question {number}?", f"Old answer {number}", **seed)
    pairs = [AgentPair(*answer.agents) for answer in answers]
    plan = Plan(asked_of, tuple(Slot(slot, pair, is_base=slot == 0) for slot, pair in enumerate(pairs)), 0)
    outcomes = tuple(
        Candidate(slot, answer.instruction or asked_of.question, answer.text, "tiny", FinishReason.STOP)
        for slot, answer in enumerate(answers)
    )
    grades = tuple(
        Grade(slot, answer.pi_dual, answer.pi_dual, None, answer.pi, answer.reason)
        for slot, answer in enumerate(answers)
    )
    if winner is None:
        selection = Selection(RowSource.DROPPED, None, None, "no_fallback")
    else:
        source = RowSource.CANDIDATE if winner else RowSource.BASE
        selection = Selection(source, winner, answers[winner].pi)
    return Graded(Settled(plan, outcomes), _scores(answers), _verdicts(answers), grades, selection)


def row(graded: Graded) -> FinishedRow:
    """The same as a reader gives it out."""
    return FinishedRow(graded.settled.plan.seed.number + 1, 1, 1, graded, ())


async def write_run(path: Path, contests: Sequence[Graded], *, manifest: Manifest = MANIFEST) -> None:
    """A run that has finished these seeds, in one batch."""
    async with await RunStore.open(path, manifest) as store:
        for graded in contests:
            plan = graded.settled.plan
            await store.assign(plan)
            for slot in plan.slots:
                await store.respond(asked(plan.seed.number, slot.number), completion("text"))
        await store.learn(batch(contests, pairs=manifest.pairs))


def batch(contests: Sequence[Graded], *, pairs: tuple[AgentPair, ...], version: int = 1) -> Update:
    """A batch of seeds, with weights that lean to the first pair the more, the later the version."""
    lean = 1 + version / 2
    total = lean + len(pairs) - 1
    weights = PairWeights(version, pairs, (lean / total, *[1 / total] * (len(pairs) - 1)))
    tally = Tally(tuple(PairTally(pair, 3, 3, 1, 0.5) for pair in pairs), {"row.candidate": len(contests)})
    return Update(weights, tuple(replace(graded) for graded in contests), (), tally)


def _scores(answers: Sequence[Answer]) -> Mapping[int, Scores]:
    small = [ModelScore(ScoreStatus.OK, ifd=0.5 + answer.pi_dual / 3) for answer in answers]
    return {slot: Scores(score, ModelScore(ScoreStatus.OK, ifd=0.4)) for slot, score in enumerate(small)}


def _verdicts(answers: Sequence[Answer]) -> Mapping[int, Verdict]:
    base = {0: Verdict(0, 0.5, VerdictSource.BASE)}
    judged = {slot: Verdict(slot, 1.0, VerdictSource.JUDGE, ("win", "win")) for slot in range(1, len(answers))}
    return base | {slot: verdict for slot, verdict in judged.items() if answers[slot].pi is not None}
