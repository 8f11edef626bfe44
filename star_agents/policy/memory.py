"""The Instruction Memory Bank: which pairs won for the instructions most like this one (docs/algorithm.md section 4).

Law: what the bank answers is a function of the entries added, in order; so a resumed run that adds them
again gets the same pools. It holds at most `capacity` entries and forgets the oldest first.
"""

import math
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: F401  # before usearch: loaded behind it, it crashes on a time with a zone
from usearch.index import Index

from star_agents.core.records import AgentPair, MemoryEntry

EXACT_UP_TO = 4096
"""Up to this many entries a scan of all of them takes a sixth of a millisecond, so nothing is approximated."""

SEARCH_WIDTH = 64
"""HNSW's `ef`, for adding and for asking: wider finds more of the true neighbours and costs in proportion."""

FORGOTTEN_SHARE = 0.01
"""What a full bank forgets at once: the first entry added after a removal costs usearch a walk over them all."""

_ONE_THREAD = 1
"""With more, the index would depend on which thread came first."""

Vector = npt.NDArray[np.float32]


class MemoryBank:
    """Entries under an ANN index by cosine similarity; the first entry fixes the number of dimensions.

    `pool` looks at the nearest `neighbours` entries and takes those at least `min_similarity` alike.
    """

    def __init__(self, capacity: int, neighbours: int, min_similarity: float) -> None:
        """Build an empty bank.

        Raises:
            ValueError: `capacity` or `neighbours` is below 1.
        """
        if capacity < 1 or neighbours < 1:
            raise ValueError(f"a memory of {capacity} entries and {neighbours} neighbours remembers nothing")
        self._capacity = capacity
        self._neighbours = neighbours
        self._min_similarity = min_similarity
        self._index: Index | None = None
        self._entries: dict[int, tuple[int, AgentPair]] = {}  # key in the index -> (seed, pair), oldest first
        self._next_key = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<MemoryBank {len(self)}/{self._capacity}>"

    def add(self, entry: MemoryEntry) -> None:
        """Remember an entry, forgetting the oldest where the bank is full.

        Raises:
            ValueError: the embedding is empty, not finite, zero, or of another size than the first one.
        """
        vector = _vector(entry.embedding)
        if self._index is None:
            self._index = _new_index(vector.size)
        self._check_size(vector, self._index)
        if len(self._entries) == self._capacity:
            self._forget(self._index)
        self._index.add(self._next_key, vector, threads=_ONE_THREAD)
        self._entries[self._next_key] = (entry.seed, entry.pair)
        self._next_key += 1

    def pool(self, embedding: bytes) -> tuple[AgentPair, ...]:
        """Pairs of the nearest entries that are alike enough, each once: most similar first, then lower seed.

        Raises:
            ValueError: as for `add`.
        """
        vector = _vector(embedding)
        if self._index is None:
            return ()
        self._check_size(vector, self._index)
        exact = len(self) <= EXACT_UP_TO
        matches = self._index.search(vector, self._neighbours, threads=_ONE_THREAD, exact=exact)
        near = [
            (distance, *self._entries[key])
            for key, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True)
            if 1 - distance >= self._min_similarity
        ]
        return tuple(dict.fromkeys(pair for _, _, pair in sorted(near)))

    def _forget(self, index: Index) -> None:
        """Drop the oldest `FORGOTTEN_SHARE`, at least one entry."""
        for key in list(islice(self._entries, max(1, int(self._capacity * FORGOTTEN_SHARE)))):
            del self._entries[key]
            index.remove(key, threads=_ONE_THREAD)

    @staticmethod
    def _check_size(vector: Vector, index: Index) -> None:
        if vector.size != index.ndim:
            raise ValueError(f"an embedding of {vector.size} numbers does not fit a memory of {index.ndim}")


def _new_index(ndim: int) -> Index:
    """Half precision halves the memory and the time, and moves a similarity by less than a thousandth."""
    return Index(ndim=ndim, metric="cos", dtype="f16", expansion_add=SEARCH_WIDTH, expansion_search=SEARCH_WIDTH)


def _vector(embedding: bytes) -> Vector:
    """Decode float32 little-endian; a vector with no direction is refused, as it would be near to everything."""
    if not embedding or len(embedding) % 4:
        raise ValueError(f"an embedding holds float32 numbers; {len(embedding)} bytes do not")
    vector = np.frombuffer(embedding, dtype="<f4").astype(np.float64)
    norm = float(np.linalg.norm(vector))
    if not 0 < norm < math.inf:
        raise ValueError(f"an embedding must be finite and not zero; this one's norm is {norm}")
    return (vector / norm).astype(np.float32)
