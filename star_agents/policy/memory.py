"""The Instruction Memory Bank: which pairs won for the instructions most like this one (docs/algorithm.md section 4).

Laws: it holds the newest `capacity` entries, and what it answers is a function of the entries added, in order. A
resumed run adds the newest `capacity` again. So it holds the same entries and gives the same pools as the run that
was never stopped, as long as nothing was forgotten or the bank is no larger than what a query looks at
(`inverted_file.SCANNED`). A larger bank that has forgotten gives the same pools again wherever its index finds all
that is near, which it does to 98 in 100.
"""

import math

import numpy as np

from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.policy.inverted_file import Codes, InvertedFile, codes_of


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
        self._index: InvertedFile | None = None
        self._added = 0  # entry number n lives at place n % capacity: the newest takes the oldest's
        self._seeds = np.zeros(capacity, dtype=np.int64)  # memory is taken as it is used
        self._winners = np.zeros(capacity, dtype=np.int32)
        self._pairs: list[AgentPair] = []
        self._numbers: dict[AgentPair, int] = {}  # by pair, its place in the list

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def __repr__(self) -> str:
        return f"<MemoryBank {len(self)}/{self._capacity}>"

    def add(self, entry: MemoryEntry) -> None:
        """Remember an entry, forgetting the oldest where the bank is full.

        Raises:
            ValueError: the embedding is empty, not finite, zero, or of another size than the first one.
        """
        codes = _codes(entry.embedding)
        if self._index is None:
            self._index = InvertedFile(codes.size, self._capacity)
        _check_size(codes, self._index)
        place = self._added % self._capacity
        if self._added >= self._capacity:
            self._index.remove(place)
        self._index.add(place, codes)
        self._seeds[place] = entry.seed
        self._winners[place] = self._number(entry.pair)
        self._added += 1

    def pool(self, embedding: bytes) -> tuple[AgentPair, ...]:
        """Pairs of the nearest entries that are alike enough, each once: most similar first, then lower seed.

        Raises:
            ValueError: as for `add`.
        """
        codes = _codes(embedding)
        if self._index is None:
            return ()
        _check_size(codes, self._index)
        similarities, places = self._index.nearest(codes, self._neighbours)
        order = np.lexsort((self._seeds[places], -similarities))[: self._neighbours]
        near = places[order[similarities[order] >= self._min_similarity]]
        return tuple(dict.fromkeys(self._pairs[number] for number in self._winners[near].tolist()))

    def _number(self, pair: AgentPair) -> int:
        number = self._numbers.setdefault(pair, len(self._pairs))
        if number == len(self._pairs):
            self._pairs.append(pair)
        return number


def _check_size(codes: Codes, index: InvertedFile) -> None:
    if codes.size != index.ndim:
        raise ValueError(f"an embedding of {codes.size} numbers does not fit a memory of {index.ndim}")


def _codes(embedding: bytes) -> Codes:
    """Decode float32 little-endian; a vector with no direction is refused, as it would be near to everything."""
    if not embedding or len(embedding) % 4:
        raise ValueError(f"an embedding holds float32 numbers; {len(embedding)} bytes do not")
    vector = np.frombuffer(embedding, dtype="<f4").astype(np.float64)
    largest = float(np.abs(vector).max())
    if not 0 < largest < math.inf:
        raise ValueError(f"an embedding must be finite and not zero; this one's largest number is {largest}")
    return codes_of(vector)
