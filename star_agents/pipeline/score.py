"""Score settled candidate sets in batches, as fast as the scorer takes them.

The batch is whatever has come in while the scorer was busy: no timer, no idle scorer with work at hand.
Failures pass through untouched; a seed without any candidate goes on with no scores.
"""

from collections.abc import Sequence

from star_agents.core.ports import Scorer
from star_agents.core.records import Sample, Settled
from star_agents.pipeline.channel import Receiver, Sender
from star_agents.pipeline.marks import Scored


async def score(
    settled: Receiver[Settled], outputs: Sequence[Sender[Scored]], scorer: Scorer, *, batch_seeds: int
) -> None:
    """Score until the input ends. Each scored seed goes to every output.

    Raises:
        ScorerError: no score can be had at all.
    """
    while batch := await settled.receive_batch(batch_seeds):
        for scored in await _score_batch(batch, scorer):
            for output in outputs:
                await output.send(scored)


async def _score_batch(batch: Sequence[Settled], scorer: Scorer) -> list[Scored]:
    candidates = [item.candidates() for item in batch]
    samples = [Sample(one.instruction, one.response) for group in candidates for one in group]
    scores = iter(await scorer.score(samples) if samples else ())
    return [
        Scored(item, {candidate.slot: next(scores) for candidate in group})
        for item, group in zip(batch, candidates, strict=True)
    ]
