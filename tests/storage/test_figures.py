"""The store's promised speed (resume at 100,000 rows, cost of a commit).

Loose enough for a busy machine; `-s` shows the figures.
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import quantiles

import pytest

from star_agents.core.records import MemoryEntry, Update
from star_agents.service.run.collector import rare_collections
from star_agents.storage.recovery import recover
from star_agents.storage.rows import iter_rows
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import DEEPEN, MANIFEST, asked, completion, graded, plan, weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORDS = Path(__file__).read_text().split()


def text(number: int, size: int = 3000) -> str:
    """About `size` characters that compress as prose does."""
    chance = random.Random(number)
    return " ".join(chance.choices(WORDS, k=size // 6))


def tell(**figures: float) -> None:
    sys.stdout.write(" ".join(f"{name}={value:.4g}" for name, value in figures.items()) + "\n")


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 99th, in milliseconds."""
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


@pytest.mark.parametrize("group", [1, 32, 256])
def test_replies_a_second(tmp_path: Path, group: int) -> None:
    """3 KB replies, `group` of them asked for at once and waited for together; the best of up to three tries.

    What one try alone does not reach may be the fault of whoever else uses the disk.
    """
    tried = []
    for attempt in range(3):
        with rare_collections():  # as a run has it; else what other tests left in this process is walked here
            seconds = run_real(replied(tmp_path / f"run-{attempt}.db", group))
        p50, p99 = percentiles(seconds)
        rate = group * len(seconds) / sum(seconds)
        tell(group=group, rows_a_second=rate, p50_ms=p50, p99_ms=p99)
        if rate > (200 if group == 1 else 2000) and p99 < 250:
            return
        tried.append(f"{rate:.0f} rows/s, p99 {p99:.0f} ms")
    pytest.fail("; ".join(tried))


async def replied(path: Path, group: int) -> list[float]:
    """Seconds that each group of replies took to be durable."""
    rounds = max(128, 4096 // group) if group > 1 else 1024  # fewer have no 99th percentile
    replies = [completion(text(number)) for number in range(64)]
    async with await RunStore.open(path, MANIFEST) as store:
        for number in range(rounds):
            await store.assign(plan(number))
        seconds = []
        for number in range(rounds):
            start = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for slot in range(group):
                    tasks.create_task(store.respond(asked(number, slot), replies[slot % 64]))
            seconds.append(time.perf_counter() - start)
        tell(**store.statistics()._asdict())
        return seconds


def test_a_start_at_a_hundred_thousand_rows_is_quick(tmp_path: Path) -> None:
    """Recovery costs what is in flight and the bank's capacity; export reads on at a steady pace."""
    num_rows, in_flight, capacity = 100_000, 64, 10_000
    path = tmp_path / "run.db"

    async def main() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            for first in range(0, num_rows + in_flight, 32):
                async with asyncio.TaskGroup() as tasks:
                    for number in range(first, first + 32):
                        one = plan(number)
                        tasks.create_task(
                            store.assign(replace(one, seed=replace(one.seed, response=text(number, 800))))
                        )
                        for slot in range(3):
                            tasks.create_task(store.respond(asked(number, slot), completion(text(number, 800))))
                if first < num_rows:
                    batch = range(first, first + 32)
                    entries = tuple(MemoryEntry(number, DEEPEN, 0.5, plan(number).embedding) for number in batch)
                    await store.learn(Update(weights(first), tuple(graded(number) for number in batch), entries))

    start = time.perf_counter()
    run_real(main())
    wrote = time.perf_counter()
    found = recover(path, capacity=capacity)
    loaded = time.perf_counter()
    count = sum(1 for _ in iter_rows(path))
    read = time.perf_counter()
    tell(megabytes=path.stat().st_size / 1e6, write_s=wrote - start, load_s=loaded - wrote, iterate_s=read - loaded)
    assert (found.standing.finished, count) == (num_rows, num_rows)
    assert (len(found.open_plans), len(found.replies), len(found.entries)) == (in_flight, 3 * in_flight, capacity)
    assert loaded - wrote < 2
