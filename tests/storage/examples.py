"""Small whole records, numbered by seed, for tests of the store and of what is made from it."""

from star_agents.core.calls import (
    CallKey,
    Completion,
    Failure,
    FinishReason,
    Message,
    Purpose,
    Request,
    SamplingParams,
    Usage,
)
from star_agents.core.records import (
    AgentPair,
    Candidate,
    Grade,
    Graded,
    MemoryEntry,
    ModelScore,
    Outcome,
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

BASE = AgentPair("keep", "strong")
DEEPEN = AgentPair("deepen", "weak")
BROADEN = AgentPair("broaden", "weak")
POOL = (DEEPEN, BROADEN)
EMBEDDING = bytes(range(256)) * 6
MANIFEST = Manifest(
    config='{"run":{"name":"tiny"},"seeds":{"path":"seeds.jsonl"}}',
    fingerprint="f" * 64,
    input_sha256="0" * 64,
    pairs=POOL,
    created="2026-01-02T03:04:05.678+00:00",
)


def plan(number: int) -> Plan:
    """A base slot and one of each pair."""
    return Plan(
        seed=Seed(number, f"Do thing {number}.", f"Done {number}.", source_id=f"id-{number}"),
        slots=(Slot(0, BASE, is_base=True), Slot(1, DEEPEN, propensity=0.625), Slot(2, BROADEN, propensity=0.375)),
        weights_version=number // 4,
        pool=(DEEPEN,),
        embedding=EMBEDDING,
    )


def key(number: int, slot: int, purpose: Purpose = Purpose.RESPOND, ordinal: int = 0) -> CallKey:
    """The key of one call."""
    return CallKey(number, purpose, slot, ordinal)


def asked(number: int, slot: int, purpose: Purpose = Purpose.RESPOND, ordinal: int = 0) -> Request:
    """One call, of the agent and for the pair that the slot of `plan` has."""
    pair = (BASE, *POOL)[slot % 3]
    agent = {Purpose.REWRITE: pair.instruction, Purpose.RESPOND: pair.response}.get(purpose, "judge")
    messages = (Message("user", f"Do thing {number}."),)
    return Request(
        key(number, slot, purpose, ordinal), "gpt", messages, SamplingParams(64), number, agent=agent, pair=str(pair)
    )


def completion(text: str, *, endpoint: str = "gpt", model: str = "gpt-4o-mini") -> Completion:
    """A reply of 7 + 11 tokens."""
    return Completion(text, FinishReason.STOP, Usage(7, 11), model, endpoint, 0.25)


def failure(slot: int) -> Failure:
    """A call that ended without an answer."""
    return Failure(slot, Purpose.RESPOND, "timeout", "no answer in 600 s", "gpt", attempts=4)


def score(ifd: float) -> ModelScore:
    """An OK score; only the ratio matters."""
    return ModelScore(ScoreStatus.OK, 1.5, 1.25, 4.5, 3.5, ifd, 12, 34)


def graded(number: int, *, source: RowSource = RowSource.CANDIDATE) -> Graded:
    """A seed of which slot 1 wins and slot 2 has failed, unless another source is asked for."""
    outcomes: tuple[Outcome, ...] = (
        Candidate(0, f"Do thing {number}.", f"Base answer {number}", "gpt-4o-mini"),
        Candidate(1, f"Do thing {number} deeply.", f"Deep answer {number}", "smollm"),
        failure(2),
    )
    pi = (number % 10) / 10
    selections = {
        RowSource.CANDIDATE: Selection(RowSource.CANDIDATE, 1, pi),
        RowSource.BASE: Selection(RowSource.BASE, 0, 0.0, "no_positive_pi"),
        RowSource.SEED: Selection(RowSource.SEED, None, None, "no_positive_pi"),
        RowSource.DROPPED: Selection(RowSource.DROPPED, None, None, "min_score"),
    }
    return Graded(
        Settled(plan(number), outcomes),
        {0: Scores(score(0.5), score(0.25)), 1: Scores(score(0.75))},
        {0: Verdict(0, 0.5, VerdictSource.BASE), 1: Verdict(1, 1.0, VerdictSource.JUDGE, ("win", "win"))},
        (Grade(0, 0.25, 0.5, 0.5, 0.25), Grade(1, 0.5, 1.0, pi, pi), Grade(2, reason="failed")),
        selections[source],
    )


def weights(version: int) -> PairWeights:
    """Numbers that no short decimal can hold."""
    first = 1 / (version + 3)
    return PairWeights(version, POOL, (first, 1 - first))


def update(version: int, *numbers: int, source: RowSource = RowSource.CANDIDATE) -> Update:
    """One batch with a memory entry a seed."""
    rows = tuple(graded(number, source=source) for number in numbers)
    entries = tuple(MemoryEntry(number, DEEPEN, 0.5, EMBEDDING) for number in numbers)
    tally = Tally((PairTally(DEEPEN, version, version, version, version / 10),), {"row.candidate": version})
    return Update(weights(version), rows, entries, tally)
