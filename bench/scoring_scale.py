"""Whether a sample costs the same among a hundred thousand as alone: time and memory of a scorer pool by size.

    python -m bench.scoring_scale [--sizes N ...] [--model NAME] [--save] [--quick]

The pool is the product's own, with one worker. Its model is tiny and random, so that what is measured is all that
grows with the number of samples, and not arithmetic. Samples come from a generator, some hundred at a time, as from a
file; none is like another. A size has a pool of its own. The slope is that of a straight line (least squares) through
the logarithm of the size, over the sizes that last long enough to be timed: what ten times as many add.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from math import log10
from pathlib import Path
from statistics import linear_regression, median
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.harness.report import SCORING, Report, parser_of
from bench.harness.samples import endless, rows_of, texts_of
from star_agents.core.records import Sample
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings

SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
LEAST = 1_000
"""A slope through fewer samples would be one through noise."""
CALL = 128
FLAT = 0.05
SLOPES = ("ms / sample", "worker MiB", "control MiB")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N")
    parser.add_argument("--model", default="tiny", help="a shape, a packaged name or a folder")
    options = parser.parse_args()
    if options.quick:
        options.sizes = (1, 10, 100)
    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        table = runner.run(measured(options, Path(folder)))
    Report(
        name="scoring-scale",
        command="python -m bench.scoring_scale --sizes " + " ".join(map(str, options.sizes)),
        rows=table,
        notes=[*notes(table), "", f"Calls of {CALL} samples; memory is resident, at the end; a pool for each size."],
        packages=SCORING,
    ).show(save=options.save)


async def measured(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A line for each size."""
    from bench.scorers.models import find_weights

    model = await asyncio.to_thread(find_weights, options.model, folder, texts_of(rows_of()))
    settings = ScoringSettings(small=model, device="cpu")
    table = []
    for size in options.sizes:
        async with ScorerPool(settings, log_dir=folder, environ=os.environ) as pool:
            await pool.score(rows_of()[:8])
            table.append(await row(pool, size))
        print(table[-1], flush=True)
    return table


async def row(pool: ScorerPool, size: int) -> dict[str, Any]:
    """Score so many samples and see what they took."""
    calls = batches(islice(endless(rows_of()), size))
    scored = 0

    async def ask() -> None:
        nonlocal scored
        for call in calls:
            found = await pool.score(call)
            scored += sum(each.small.ifd is not None for each in found)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(pool.capacity):
            group.create_task(ask())
    return told(size, scored, time.perf_counter() - began)


def told(size: int, scored: int, took: float) -> dict[str, Any]:
    """A line of the table, with the memory of this process and its worker as they are now."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "samples": size,
        "seconds": took,
        "ms / sample": 1000 * took / size,
        "worker MiB": max(resident_mib(pid) for pid in children),
        "control MiB": resident_mib("self"),
        "without a score": size - scored,
    }


def resident_mib(pid: str) -> float:
    """Memory that a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def batches(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Calls, made when they are asked for."""
    while call := list(islice(samples, CALL)):
        yield call


def notes(table: Sequence[dict[str, Any]]) -> list[str]:
    """The slopes, per ten times the size."""
    large = [row for row in table if row["samples"] >= LEAST]
    if len(large) < 2:
        return []
    said = []
    for name in SLOPES:
        values = [row[name] for row in large]
        slope, _ = linear_regression([log10(row["samples"]) for row in large], values)
        share = slope / median(values)
        verdict = "flat" if abs(share) <= FLAT else "falls" if share < 0 else "grows"
        said.append(f"- {name}: {slope:+.3g} for ten times the samples ({share:+.1%} of the median): {verdict}")
    return said


if __name__ == "__main__":
    main()
