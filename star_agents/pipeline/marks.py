"""What scoring and judging say of a settled seed, and the join of the two.

Law: every settled seed leaves the join exactly once, when both have spoken. Score and judge may speak in
either order. The join holds at most the seeds in flight, which the board bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from star_agents.core.records import Probe, Scores, Settled, Verdict
from star_agents.pipeline.channel import Receiver, Sender


@dataclass(frozen=True, slots=True)
class Scored:
    """Perplexities by slot number, for the slots that produced text."""

    settled: Settled
    scores: Mapping[int, Scores]


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts by slot number, for the slots that were judged; and the probe that went with the seed, if one did."""

    settled: Settled
    verdicts: Mapping[int, Verdict]
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A settled seed with everything selection needs."""

    settled: Settled
    scores: Mapping[int, Scores]
    verdicts: Mapping[int, Verdict]
    probe: Probe | None = None


async def join(marks: Receiver[Scored | Judged], marked: Sender[Marked]) -> None:
    """Pair up scores and verdicts of the same seed, by seed number."""
    waiting: dict[int, Scored | Judged] = {}
    async for mark in marks:
        other = waiting.pop(mark.settled.plan.seed.number, None)
        match mark, other:
            case Scored(scores=scores), Judged(verdicts=verdicts, probe=probe):
                await marked.send(Marked(mark.settled, scores, verdicts, probe))
            case Judged(verdicts=verdicts, probe=probe), Scored(scores=scores):
                await marked.send(Marked(mark.settled, scores, verdicts, probe))
            case _:
                waiting[mark.settled.plan.seed.number] = mark
