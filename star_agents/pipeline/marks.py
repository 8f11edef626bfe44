"""What scoring and judging say of a settled seed, and the join of the two.

Law: every settled seed leaves the join exactly once, when both have spoken. Score and judge may speak in
either order. The join holds at most the seeds in flight, which the board bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from star_agents.core.records import Scores, Settled, Verdict
from star_agents.pipeline.channel import Receiver, Sender


@dataclass(frozen=True, slots=True)
class Scored:
    """Perplexities by slot number, for the slots that produced text."""

    settled: Settled
    scores: Mapping[int, Scores]


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts by slot number, for the slots that were judged."""

    settled: Settled
    verdicts: Mapping[int, Verdict]


@dataclass(frozen=True, slots=True)
class Marked:
    """A settled seed with everything selection needs."""

    settled: Settled
    scores: Mapping[int, Scores]
    verdicts: Mapping[int, Verdict]


async def join(marks: Receiver[Scored | Judged], marked: Sender[Marked]) -> None:
    """Pair up scores and verdicts of the same seed, by seed number."""
    waiting: dict[int, Scored | Judged] = {}
    async for mark in marks:
        other = waiting.pop(mark.settled.plan.seed.number, None)
        match mark, other:
            case Scored(scores=scores), Judged(verdicts=verdicts):
                await marked.send(Marked(mark.settled, scores, verdicts))
            case Judged(verdicts=verdicts), Scored(scores=scores):
                await marked.send(Marked(mark.settled, scores, verdicts))
            case _:
                waiting[mark.settled.plan.seed.number] = mark
