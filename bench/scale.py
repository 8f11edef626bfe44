"""Whether a request costs the same in a run of a million as in a run of a thousand: our whole engine, store on.

    python -m bench.scale [--sizes N ...] [--million] [--save] [--quick]

A process a size, against a mock server that answers at once, with the same number of seeds in flight at every size
(`sampling.max_in_flight`; by itself the engine raises it in the first minute, and memory with it: `--auto`). Time, CPU
and disk a request, resident memory at the end, and how late the event loop was (a task that wants to wake every 20 ms).
The slope is that of a straight line through the logarithm of the size (least squares): what ten times as many add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log10
from pathlib import Path
from statistics import linear_regression, median
from tempfile import TemporaryDirectory
from typing import Any

from bench.clients.contract import Setup, Target
from bench.harness import kinds
from bench.harness.driver import Driver, Round
from bench.harness.report import Report, parser_of
from bench.harness.server import serving

SIZES = (1_000, 4_000, 16_000, 64_000, 192_000)
MILLION = 1_000_000
SLOTS = 256
SEEDS_IN_FLIGHT = 128
"""Enough for all slots, with as many calls waiting behind them."""
FLAT = 0.05
"""A slope within so much of the median, for each ten times the size, is called flat."""
SLOPES = ("CPU ms / request", "ms / request", "RSS MiB", "loop lag p99 ms")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N", help="requests, about")
    parser.add_argument("--million", action="store_true", help="a million as well: some ten minutes")
    parser.add_argument("--auto", action="store_true", help="let the engine choose the seeds in flight")
    options = parser.parse_args()
    extra = {} if options.auto else {"max_in_flight": SEEDS_IN_FLIGHT}
    sizes = (500, 1_000) if options.quick else (*options.sizes, *([MILLION] if options.million else []))
    rows, rounds = [], []
    for size in sizes:
        rounds.append(measured(size, extra))
        rows.append(row(rounds[-1]))
        print(rows[-1], flush=True)
    Report(
        name="scale-auto" if options.auto else "scale",
        command="python -m bench.scale"
        + (" --million" if options.million else "")
        + (" --auto" if options.auto else "")
        + (" --quick" if options.quick else ""),
        rows=rows,
        notes=notes(rows),
        more={"rounds": [asdict(one) for one in rounds]},
    ).show(save=options.save)


def measured(size: int, extra: Mapping[str, Any]) -> Round:
    """One run of a process of its own."""
    with serving() as server, TemporaryDirectory() as folder:
        target = Target(url=server.url, model="m", slots=SLOTS)
        setup = Setup(targets=(target,), folder=str(Path(folder, "client")), warm_up=SLOTS, extra=extra)
        with Driver.started(kinds.ENGINE, setup) as driver:
            return driver.round(0, size)


def row(done: Round) -> dict[str, Any]:
    """A size's line of the table."""
    requests = done.answered + done.failed
    return {
        "requests": requests,
        "seeds": done.more["seeds"],
        "ms / request": 1000 * done.wall_s / requests,
        "CPU ms / request": done.cpu_ms,
        "RSS MiB": done.rss_mb,
        "loop lag p50 ms": done.more["lag_p50_ms"],
        "loop lag p99 ms": done.more["lag_p99_ms"],
        "loop lag max ms": done.more["lag_max_ms"],
        "disk KB / request": done.more["disk_bytes"] / 1000 / requests,
        "writes / commit": done.more["writes"] / max(1, done.more["commits"]),
    }


def notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The slopes, per ten times the size."""
    said = []
    for name in SLOPES:
        values = [row[name] for row in rows]
        slope, _ = linear_regression([log10(row["requests"]) for row in rows], values)
        share = slope / median(values)
        verdict = "flat" if abs(share) <= FLAT else "falls" if share < 0 else "grows"
        said.append(f"- {name}: {slope:+.3g} for ten times the requests ({share:+.1%} of the median): {verdict}")
    return said


if __name__ == "__main__":
    main()
