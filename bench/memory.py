"""The memory bank at a million entries: what an insert, a forgetting insert and a pool cost, and what the index misses.

    python -m bench.memory [--entries N ...] [--like FILE.npy] [--save] [--quick]

Entries lie as sentence embeddings do: around many topics, in a space of fewer dimensions than they have numbers. With
`--like`, embeddings of real instructions (float32, one a row) are varied instead: each entry is one of them moved by
the difference of two others. Between queries a table larger than any cache is read, as a run does other things too.
Times are of the CPU: what others do on a shared machine is no cost of ours. The last column is by the clock.
"""

import gc
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.harness.report import Report, parser_of
from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.policy.memory import MemoryBank

NDIM, LATENT, TOPICS = 384, 48, 5_000
BLOCK = 50_000
NEIGHBOURS = 10
QUERIES, CHECKED = 1_000, 200
QUERY_NUMBER = 2**32 - 1
FORGOTTEN = 50_000
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
            "Times in milliseconds, p50 / p99 / largest. `fill` is what a resumed run takes to build the bank, in s."
        ],
    ).show(save=options.save)


def measured(entries: int, like: Path | None) -> dict[str, Any]:
    """Fill a bank, make it forget, and ask it: a line of the table."""
    world, bank = World(like), MemoryBank(entries, NEIGHBOURS, -1.0)
    forgotten = min(FORGOTTEN, entries // 2)
    filling = np.array([took for first in range(0, entries, BLOCK) for took in _fill(bank, world, entries, first)])
    forgetting = np.array(list(_add(bank, world.draw(forgotten, entries), entries)))
    queries = world.draw(QUERIES, QUERY_NUMBER)
    asking, pools = _ask(bank, queries)
    nearest = _truth(world, queries[:CHECKED], entries, forgotten)
    recall = sum(nearest.found(row, pool) for row, pool in enumerate(pools[:CHECKED])) / (CHECKED * NEIGHBOURS)
    return {
        "entries": len(bank),
        "fill s": round(float(filling.sum()) / 1e3, 1),
        "insert": _spread(filling[-forgotten:]),
        "insert into a full bank": _spread(forgetting),
        "pool of 10": _spread(asking[:, 0]),
        "the same, by the clock": _spread(asking[:, 1]),
        "recall": round(recall, 3),
    }


def _fill(bank: MemoryBank, world: World, entries: int, first: int) -> Iterator[float]:
    return _add(bank, world.draw(min(BLOCK, entries - first), first), first)


def _add(bank: MemoryBank, vectors: Vectors, first: int) -> Iterator[float]:
    """Milliseconds of each insert. Every entry has a pair of its own, so that a pool tells which entries were found."""
    for number, vector in enumerate(vectors, first):
        entry = MemoryEntry(number, AgentPair("keep", str(number)), 0.5, vector.tobytes())
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


def _truth(world: World, queries: Vectors, entries: int, forgotten: int) -> Nearest:
    """Of what the bank still holds: all but the first `forgotten`."""
    nearest = Nearest(queries)
    for first in range(0, entries, BLOCK):
        vectors = world.draw(min(BLOCK, entries - first), first)
        held = max(first, forgotten)
        if held < first + len(vectors):
            nearest.look_at(vectors[held - first :], held)
    nearest.look_at(world.draw(forgotten, entries), entries)
    return nearest


def _spread(times: npt.NDArray[np.float64]) -> str:
    p50, p99 = np.percentile(times, [50, 99])
    return f"{p50:.3f} / {p99:.3f} / {times.max():.1f}"


if __name__ == "__main__":
    main()
