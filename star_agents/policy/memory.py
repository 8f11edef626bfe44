"""The Instruction Memory Bank: which pairs won for the instructions most like this one (docs/algorithm.md section 4).

Law: it holds the newest `capacity` entries, one for one, and what it answers is a function of the entries added, in
order, whether one by one or many at once, and on however many threads.

An HNSW index forgets badly: what is removed leaves its links behind, and usearch walks over all entries when the next
one is added. So entries lie in generations, each in an index of its own that only grows. Entries that are too old are
passed over in what a search finds, and an index that holds no others is dropped whole. A full bank keeps up to
`capacity * (1 + 1 / GENERATIONS)` vectors for it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: F401  # before usearch: loaded behind it, it crashes on a time with a zone
from usearch.index import Index

from star_agents.core.records import AgentPair, MemoryEntry

GENERATIONS = 2
"""Indexes that a full bank is spread over: with more it keeps fewer vectors too many, and is asked for longer."""

EXACT_UP_TO = 4096
"""Up to this many entries a scan of all of them takes a sixth of a millisecond, so nothing is approximated."""

BUILD_WIDTH = 64
"""HNSW's `ef` for adding: wider makes better links and costs in proportion."""

SEARCH_WIDTH = 64
"""HNSW's `ef` for asking, of all generations together: each has but its share of the nearest."""

BLOCK = 1024
"""Entries handed to the index at once."""

_ONE_THREAD = 1
"""With more in one index, it would depend on which thread came first."""

Vectors = npt.NDArray[np.float32]
Near = tuple[float, int, AgentPair]
"""Distance, seed and pair of an entry: the order in which entries are near."""


class Each(Protocol):
    """`map`, or that of a thread pool."""

    def __call__(self, act: Callable[["_Part"], None], parts: Iterable["_Part"], /) -> Iterable[None]:
        """Act on every part, in any order."""
        ...


class MemoryBank:
    """Entries by cosine similarity; the first entry fixes the number of dimensions.

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
        self._span = math.ceil(capacity / GENERATIONS)
        self._generations: deque[_Generation] = deque()
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def __repr__(self) -> str:
        return f"<MemoryBank {len(self)}/{self._capacity}>"

    def add(self, entry: MemoryEntry) -> None:
        """Remember an entry; where the bank is full, the oldest is forgotten.

        Raises:
            ValueError: the embedding is empty, not finite, zero, or of another size than the first one.
        """
        vectors = _directions((entry.embedding,), self._ndim)
        part = self._place((entry,))
        part.generation.index.add(part.first, vectors, threads=_ONE_THREAD)

    def fill(self, entries: Sequence[MemoryEntry], each: Each = map) -> None:
        """Remember many entries, oldest first: the same bank as by `add`, sooner.

        `each` is given a generation's entries at a time; the `map` of a thread pool builds generations side by side.

        Raises:
            ValueError: as for `add`; the bank is of no use then.
        """
        for first in entries[:1]:
            _directions((first.embedding,), self._ndim)  # it may fix the number of dimensions
        parts = []
        while entries:
            part = self._place(entries)
            parts.append(part)
            entries = entries[len(part.entries) :]
        deque(each(_Part.fill, parts), maxlen=0)

    def pool(self, embedding: bytes) -> tuple[AgentPair, ...]:
        """Pairs of the nearest entries that are alike enough, each once: most similar first, then lower seed.

        Raises:
            ValueError: as for `add`.
        """
        (vector,) = _directions((embedding,), self._ndim)
        for generation in self._generations:
            generation.index.expansion_search = SEARCH_WIDTH // len(self._generations)
        near = sorted(found for generation in self._generations for found in self._near(generation, vector))
        alike = (pair for distance, _, pair in near[: self._neighbours] if 1 - distance >= self._min_similarity)
        return tuple(dict.fromkeys(alike))

    @property
    def _ndim(self) -> int | None:
        return self._generations[0].index.ndim if self._generations else None

    def _place(self, entries: Sequence[MemoryEntry]) -> "_Part":
        """Give the first of some entries a place: as many as the newest generation has room for, at least one."""
        if not self._generations or len(self._generations[-1].seeds) == self._span:
            self._generations.append(_Generation(self._added, _new_index(len(entries[0].embedding) // 4)))
        generation = self._generations[-1]
        part = _Part(generation, len(generation.seeds), entries[: self._span - len(generation.seeds)])
        generation.seeds.extend(entry.seed for entry in part.entries)
        generation.pairs.extend(entry.pair for entry in part.entries)
        self._added += len(part.entries)
        while self._generations[0].first + self._span <= self._added - self._capacity:
            self._generations.popleft()
        return part

    def _near(self, generation: "_Generation", vector: Vectors) -> Iterator[Near]:
        """The nearest entries of a generation that are not forgotten; as many that are may stand before them."""
        exact = len(self) <= EXACT_UP_TO
        forgotten = max(0, self._added - self._capacity - generation.first)
        among = self._neighbours + (forgotten if exact else min(forgotten, self._neighbours))
        matches = generation.index.search(vector, among, threads=_ONE_THREAD, exact=exact)
        for place, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True):
            if place >= forgotten:
                yield distance, generation.seeds[place], generation.pairs[place]


@dataclass(slots=True)
class _Generation:
    """Entries that came one after the other; in the index they go by their place in it."""

    first: int
    """Entries that were added before it."""
    index: Index
    seeds: list[int] = field(default_factory=list)
    pairs: list[AgentPair] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """Entries that have their places in a generation, from `first` on, and are to come into its index."""

    generation: _Generation
    first: int
    entries: Sequence[MemoryEntry]

    def fill(self) -> None:
        """Bring them in, in order."""
        index = self.generation.index
        for start in range(0, len(self.entries), BLOCK):
            block = self.entries[start : start + BLOCK]
            vectors = _directions([entry.embedding for entry in block], index.ndim)
            index.add(np.arange(self.first + start, self.first + start + len(block)), vectors, threads=_ONE_THREAD)


def _new_index(ndim: int) -> Index:
    """bfloat16 halves the memory and the time, and moves a similarity by less than a thousandth."""
    return Index(
        ndim=ndim,
        metric="cos",
        dtype="bf16",
        expansion_add=BUILD_WIDTH,
        enable_key_lookups=False,  # nothing is ever got or removed by its key
    )


def _directions(embeddings: Sequence[bytes], ndim: int | None) -> Vectors:
    """Unit vectors, one a row, from float32 little-endian; what has no direction would be near to everything.

    Raises:
        ValueError: there is such a one, or one of another size than `ndim`.
    """
    for embedding in embeddings:
        if not embedding or len(embedding) % 4:
            raise ValueError(f"an embedding holds float32 numbers; {len(embedding)} bytes do not")
        if ndim is not None and len(embedding) != 4 * ndim:
            raise ValueError(f"an embedding of {len(embedding) // 4} numbers does not fit a memory of {ndim}")
    vectors = np.frombuffer(b"".join(embeddings), dtype="<f4").reshape(len(embeddings), -1).astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    for norm in norms[~((norms > 0) & (norms < math.inf))].tolist():
        raise ValueError(f"an embedding must be finite and not zero; this one's norm is {norm}")
    return np.asarray(vectors / norms, dtype=np.float32)
