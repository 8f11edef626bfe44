"""Scoring an existing data set: rows stream through the scorers, and come out in order."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from star_agents.core.ports import Scorer
from star_agents.core.records import (
    ModelScore,
    Sample,
    Scores,
    Seed,
)
from star_agents.storage.seeds import Seeds

BATCH_ROWS = 64
"""Rows sent to the scorers together: a few packs each, so that the workers seldom wait for the file."""


async def score_data(
    seeds: Seeds, scorer: Scorer, write: Callable[[bytes], object], tell: Callable[[int], None]
) -> None:
    """Write one JSON line a usable row, in order: the row, and what each model makes of it.

    `write` may block. `tell` hears after each batch how many rows, unusable ones included, have passed.

    Raises:
        SeedError: the data cannot be read on.
        ScorerError: the models cannot be run.
    """
    while rows := await seeds.read(BATCH_ROWS):
        scores = await scorer.score([Sample(row.instruction, row.response, row.context) for row in rows])
        await asyncio.to_thread(write, b"".join(map(_line, rows, scores)))
        tell(rows[-1].number + 1)


def _line(seed: Seed, scores: Scores) -> bytes:
    row: dict[str, Any] = {
        "number": seed.number,
        "id": seed.source_id,
        "instruction": seed.instruction,
        "input": seed.context,
        "output": seed.response,
        "small": _view(scores.small),
    }
    if scores.large is not None:
        row["large"] = _view(scores.large)
        both = (scores.small.ifd, scores.large.ifd)
        row["gap"] = both[0] - both[1] if both[0] is not None and both[1] is not None else None
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _view(score: ModelScore) -> dict[str, Any]:
    """The numbers of one model by the names that the field uses; null where there is none, and `status` says why."""
    return {
        "ppl_alone": score.ppl_alone,
        "ppl_cond": score.ppl_cond,
        "ifd": score.ifd,
        "n_prompt_tokens": score.n_prompt_tokens,
        "n_response_tokens": score.n_response_tokens,
        "status": score.status,
    } | ({"reason": score.reason} if score.reason else {})
