"""Score settled candidate sets in batches, as fast as the scorer takes them.

A batch is whatever has come in until the scorer could take one: no timer, no idle scorer with work at hand. Several
may be with the scorer at a time, so that it always has the next one; that many and no more, so a slow scorer fills the
channel before this stage, then stops generation, then planning. Failures pass through untouched; a seed without any
candidate goes on with no scores.
"""

import asyncio
from collections.abc import Sequence

from star_agents.core.ports import Scorer
from star_agents.core.records import Sample, Settled
from star_agents.core.subject import working_for
from star_agents.pipeline.channel import Receiver, Sender
from star_agents.pipeline.marks import Scored


async def score(
    settled: Receiver[Settled],
    outputs: Sequence[Sender[Scored]],
    scorer: Scorer,
    *,
    batch_seeds: int,
    batches_at_once: int,
) -> None:
    """Score until the input ends. Each scored seed goes to every output.

    Raises:
        ExceptionGroup: of a `ScorerError`, where no score can be had at all.
    """
    places = asyncio.Semaphore(batches_at_once)

    async def pass_on(batch: Sequence[Settled]) -> None:
        try:
            with working_for([item.plan.seed.number for item in batch]):
                scored_batch = await _score_batch(batch, scorer)
            for scored in scored_batch:
                for output in outputs:
                    await output.send(scored)
        finally:
            places.release()

    async with asyncio.TaskGroup() as group:
        while True:
            await places.acquire()  # before the batch is taken: what waits longer is a larger batch
            batch = await settled.receive_batch(batch_seeds)
            if not batch:
                break
            group.create_task(pass_on(batch))


async def _score_batch(batch: Sequence[Settled], scorer: Scorer) -> list[Scored]:
    candidates = [item.candidates() for item in batch]
    samples = [Sample(one.instruction, one.response) for group in candidates for one in group]
    scores = iter(await scorer.score(samples) if samples else ())
    return [
        Scored(item, {candidate.slot: next(scores) for candidate in group})
        for item, group in zip(batch, candidates, strict=True)
    ]
