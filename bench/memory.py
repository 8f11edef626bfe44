"""The memory bank at a million entries: what an insert, a forgetting insert and a pool cost, and what the index misses.

    python -m bench.memory [--entries N] [--like FILE.npy] [--out FILE.json]

Entries lie as sentence embeddings do: around many topics, in a space of fewer dimensions than they have numbers. With
`--like`, embeddings of real instructions (float32, one a row) are varied instead: each entry is one of them moved by
the difference of two others. Between queries a table larger than any cache is read, as a run does other things too.
"""

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.policy.memory import MemoryBank

NDIM, LATENT, TOPICS = 384, 48, 5_000
BLOCK = 50_000
NEIGHBOURS = 10
QUERIES, CHECKED = 1_000, 200
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


def measure(entries: int, like: Path | None) -> dict[str, object]:
    """Fill a bank, make it forget, and ask it."""
    world, bank = World(like), MemoryBank(entries, NEIGHBOURS, -1.0)
    filling = np.array([took for number in range(0, entries, BLOCK) for took in _fill(bank, world, entries, number)])
    forgetting = np.array(list(_add(bank, world.draw(FORGOTTEN, entries), entries)))
    queries = world.draw(QUERIES, -1 % 2**32)
    asking, pools = _ask(bank, queries)
    nearest = _truth(world, queries[:CHECKED], entries)
    recall = sum(nearest.found(row, pool) for row, pool in enumerate(pools[:CHECKED])) / (CHECKED * NEIGHBOURS)
    return {
        "entries": len(bank),
        "vectors": "synthetic" if like is None else "varied instructions",
        "fill_s": round(float(filling.sum()) / 1e3, 2),
        "insert_ms": _spread(filling[-FORGOTTEN:]),
        "insert_into_full_ms": _spread(forgetting),
        "pool_ms": _spread(asking),
        "recall_at_10": round(recall, 4),
    }


def _fill(bank: MemoryBank, world: World, entries: int, first: int) -> Iterator[float]:
    return _add(bank, world.draw(min(BLOCK, entries - first), first), first)


def _add(bank: MemoryBank, vectors: Vectors, first: int) -> Iterator[float]:
    """Milliseconds of each insert. Every entry has a pair of its own, so that a pool tells which entries were found."""
    for number, vector in enumerate(vectors, first):
        entry = MemoryEntry(number, AgentPair("keep", str(number)), 0.5, vector.tobytes())
        start = perf_counter()
        bank.add(entry)
        yield (perf_counter() - start) * 1e3


def _ask(bank: MemoryBank, queries: Vectors) -> tuple[npt.NDArray[np.float64], list[set[int]]]:
    elsewhere = np.ones(16 * 2**20)
    took, pools = [], []
    for query in queries:
        elsewhere.sum()
        start = perf_counter()
        pool = bank.pool(query.tobytes())
        took.append((perf_counter() - start) * 1e3)
        pools.append({int(pair.response) for pair in pool})
    return np.array(took), pools


def _truth(world: World, queries: Vectors, entries: int) -> Nearest:
    """Of what the bank still holds: all but the first `FORGOTTEN`."""
    nearest = Nearest(queries)
    for first in range(0, entries, BLOCK):
        nearest.look_at(
            world.draw(min(BLOCK, entries - first), first)[max(0, FORGOTTEN - first) :], max(first, FORGOTTEN)
        )
    nearest.look_at(world.draw(FORGOTTEN, entries), entries)
    return nearest


def _spread(times: npt.NDArray[np.float64]) -> dict[str, float]:
    p50, p99 = np.percentile(times, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "most": round(float(times.max()), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--like", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    gc.disable()  # a pair for each entry is the bench's own doing; a run collects rarely, and not these
    told = json.dumps(measure(options.entries, options.like), indent=2)
    sys.stdout.write(told + "\n")
    if options.out is not None:
        options.out.write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
