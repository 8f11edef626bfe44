"""A scorer and an embedder that need no model: one answers from a table, the other from a hash."""

import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import exp, hypot

from star_agents.core.records import (
    ModelScore,
    Sample,
    Scores,
    ScoreStatus,
)


def ok_score(nll_alone: float, nll_cond: float, n_response_tokens: int = 10) -> ModelScore:
    """A model score whose numbers agree with each other."""
    return ModelScore(
        ScoreStatus.OK,
        nll_alone=nll_alone,
        nll_cond=nll_cond,
        ppl_alone=exp(nll_alone),
        ppl_cond=exp(nll_cond),
        ifd=exp(nll_cond - nll_alone),
        n_prompt_tokens=5,
        n_response_tokens=n_response_tokens,
    )


def length_score(sample: Sample) -> Scores:
    """Scores that follow from the lengths of the texts, so that every sample has its own."""
    if not sample.response:
        return Scores(ModelScore(ScoreStatus.EMPTY), ModelScore(ScoreStatus.EMPTY))
    alone = 1 + len(sample.response) / 100
    cond = alone / (1 + len(sample.instruction) / 1000)
    words = len(sample.response.split())
    return Scores(ok_score(alone, cond, words), ok_score(alone / 2, cond / 2, words))


class TableScorer:
    """A `Scorer` that looks samples up, and computes those the table does not know from their lengths."""

    def __init__(
        self, table: dict[Sample, Scores] | None = None, otherwise: Callable[[Sample], Scores] = length_score
    ) -> None:
        self._table = table or {}
        self._otherwise = otherwise
        self.asked: list[Sample] = []

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        self.asked += samples
        return [self._table.get(sample) or self._otherwise(sample) for sample in samples]


class HashEmbedder:
    """An `Embedder`: equal texts have equal vectors, unequal texts unrelated ones."""

    def __init__(self, width: int = 8) -> None:
        self._width = width
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        self.asked += texts
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> bytes:
        data = text.encode("utf-16", "surrogatepass")
        raw = [blake2b(data, digest_size=2, salt=bytes([at])).digest() for at in range(self._width)]
        values = [int.from_bytes(digest) / 32768 - 1 + 1e-5 for digest in raw]
        norm = hypot(*values)
        return struct.pack(f"<{self._width}f", *(value / norm for value in values))
