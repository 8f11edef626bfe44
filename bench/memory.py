"""The memory bank at a million entries: what rebuilding, an insert, forgetting and a pool cost, and what it misses.

    python -m bench.memory [--entries N ...] [--like FILE.npy] [--save] [--quick]

Entries lie as sentence embeddings do: around many topics, in a space of fewer dimensions than they have numbers. With
`--like`, embeddings of real instructions (float32, one a row) are varied instead: each entry is one of them moved by
the difference of two others. Between queries a table larger than any cache is read, as a run does other things too.

The bank is rebuilt as a resumed run does it, filled on until its newest generation is all but full, which is when it
holds most, asked, and filled on until it drops its oldest generation. Rebuilding is by the clock, on all cores; other
times are of the CPU: what others do on a shared machine is no cost of ours. The last column is by the clock again.
"""

import gc
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.harness.report import OURS, Report, parser_of
from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.policy.memory import GENERATIONS, MemoryBank

NDIM, LATENT, TOPICS = 384, 48, 5_000
BLOCK = 50_000
NEIGHBOURS = 10
QUERIES, CHECKED = 1_000, 200
QUERY_NUMBER = 2**32 - 1
INSERTED = 20_000
VARIED = 0.45 / 2**0.5

Vectors = npt.NDArray[np.float32]


class World:
    """Where entries come from."""

    def __init__(self, like: Path | None) -> None:
        rng = np.random.default_rng(0)
        self._real: Vectors | None = None if like is None else np.load(like)
        self._topics = rng.normal(size=(TOPICS, LATENT)).astype(np.float32)
        self._axes = rng.normal(size=(LATENT, NDIM)).astype(np.float32)

    def draw(self, count: int, number: int) -> Vectors:
        """Unit vectors; the same `number` gives the same again."""
        rng = np.random.default_rng([1, number])
        if self._real is not None:
            one, two, three = (self._real[rng.integers(0, len(self._real), count)] for _ in range(3))
            vectors = one + VARIED * (two - three)
        else:
            latent = self._topics[rng.integers(0, TOPICS, count)] + 0.6 * rng.normal(size=(count, LATENT))
            vectors = latent.astype(np.float32) @ self._axes + rng.normal(size=(count, NDIM)).astype(np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype="<f4")

    def blocks(self, first: int, end: int) -> Iterator[tuple[int, Vectors]]:
        """Entries `first` up to `end`, a block at a time, each with the number of its first."""
        while first < end:
            block, at = divmod(first, BLOCK)
            vectors = self.draw(BLOCK, block)[at : at + end - first]
            yield first, vectors
            first += len(vectors)

    def entries(self, first: int, end: int) -> list[MemoryEntry]:
        """The same as entries, each with a pair of its own, so that a pool tells which were found."""
        return [
            MemoryEntry(number, AgentPair("keep", str(number)), 0.5, vector.tobytes())
            for start, vectors in self.blocks(first, end)
            for number, vector in enumerate(vectors, start)
        ]


class Nearest:
    """The true nearest entries of some queries, found by looking at all of them."""

    def __init__(self, queries: Vectors) -> None:
        self._queries = queries
        self._similarities = np.full((len(queries), NEIGHBOURS), -2.0, dtype=np.float32)
        self._numbers = np.full((len(queries), NEIGHBOURS), -1)

    def look_at(self, vectors: Vectors, first: int) -> None:
        """Take in entries `first`, `first + 1`, ..."""
        among = self._queries @ vectors.T
        best = np.argpartition(-among, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        similarities = np.hstack([self._similarities, np.take_along_axis(among, best, axis=1)])
        numbers = np.hstack([self._numbers, best + first])
        best = np.argpartition(-similarities, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        self._similarities = np.take_along_axis(similarities, best, axis=1)
        self._numbers = np.take_along_axis(numbers, best, axis=1)

    def found(self, row: int, numbers: set[int]) -> int:
        """How many of a query's true neighbours are among `numbers`."""
        return len(numbers & set(self._numbers[row].tolist()))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--like", type=Path, help="embeddings to vary, float32, one a row")
    options = parser.parse_args()
    if options.quick:
        options.entries = [2_000, 12_000]
    gc.disable()  # a pair for each entry is the bench's own doing; a run collects rarely, and not these
    sizes = " ".join(map(str, options.entries))
    Report(
        name="memory",
        command=f"python -m bench.memory --entries {sizes}" + (" --like FILE" if options.like else ""),
        rows=[measured(entries, options.like) for entries in options.entries],
        notes=[
            "Times in milliseconds, p50 / p99 / largest; `drop` is the insert that drops a generation.",
            f"`rebuild` is what a resumed run takes, in s by the clock on {os.cpu_count()} cores.",
        ],
        packages=(*OURS, "usearch", "numpy"),
    ).show(save=options.save)


def measured(entries: int, like: Path | None) -> dict[str, Any]:
    """Rebuild a bank, fill it on, ask it, and make it drop a generation: a line of the table."""
    world, bank = World(like), MemoryBank(entries, NEIGHBOURS, -1.0)
    span = -(-entries // GENERATIONS)
    inserted = min(INSERTED, span // 2)
    before, most = entries + span - inserted, entries + span
    rebuilding = _rebuild(bank, world.entries(0, entries))
    bank.fill(world.entries(entries, before))
    inserting = np.array(list(_add(bank, world.entries(before, most))))
    queries = world.draw(QUERIES, QUERY_NUMBER)
    asking, pools = _ask(bank, queries)
    nearest = _truth(world, queries[:CHECKED], span, most)
    recall = sum(nearest.found(row, pool) for row, pool in enumerate(pools[:CHECKED])) / (CHECKED * NEIGHBOURS)
    (dropping,) = _add(bank, world.entries(most, most + 1))
    return {
        "entries": len(bank),
        "rebuild": round(rebuilding, 1),
        "insert": _spread(inserting),
        "drop": round(dropping, 1),
        "pool of 10": _spread(asking[:, 0]),
        "recall": round(recall, 3),
        "pool, by the clock": _spread(asking[:, 1]),
    }


def _rebuild(bank: MemoryBank, entries: Sequence[MemoryEntry]) -> float:
    """Seconds by the clock."""
    start = perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        bank.fill(entries, threads.map)
    return perf_counter() - start


def _add(bank: MemoryBank, entries: Sequence[MemoryEntry]) -> Iterator[float]:
    """Milliseconds of each insert."""
    for entry in entries:
        start = thread_time()
        bank.add(entry)
        yield (thread_time() - start) * 1e3


def _ask(bank: MemoryBank, queries: Vectors) -> tuple[npt.NDArray[np.float64], list[set[int]]]:
    """A row of CPU and clock milliseconds for each query, and the entries that its pool tells of."""
    elsewhere = np.ones(16 * 2**20)
    took, pools = [], []
    for query in queries:
        elsewhere.sum()
        embedding, start, began = query.tobytes(), thread_time(), perf_counter()
        pool = bank.pool(embedding)
        took.append(((thread_time() - start) * 1e3, (perf_counter() - began) * 1e3))
        pools.append({int(pair.response) for pair in pool})
    return np.array(took), pools


def _truth(world: World, queries: Vectors, first: int, end: int) -> Nearest:
    """Of entries `first` up to `end`."""
    nearest = Nearest(queries)
    for number, vectors in world.blocks(first, end):
        nearest.look_at(vectors, number)
    return nearest


def _spread(times: npt.NDArray[np.float64]) -> str:
    p50, p99 = np.percentile(times, [50, 99])
    return f"{p50:.3f} / {p99:.3f} / {times.max():.1f}"


if __name__ == "__main__":
    main()
