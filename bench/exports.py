"""A run of a million rows, exported and reported: how long it takes, and whether memory grows with the rows.

    python -m bench.exports [--rows N ...] [--only WHAT ...] [--save] [--quick]

With `--save` the lines that were measured replace those in bench/results/exports.json; the others stay.

The store is made by `bench.crash.resume`: all but the newest rows lie in shards, and have the same texts under other
numbers. Each command runs in a child of its own, whose peak of resident memory the kernel tells when it ends.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness.report import OURS, RESULTS, Report, parser_of

FORMATS = ("messages", "alpaca", "sharegpt", "parquet", "datasets", "dpo")
WHAT = (*FORMATS, "report")
PACKAGES = (*OURS, "pyarrow", "datasets", "matplotlib")
ROWS = (100_000, 1_000_000)
QUICK_ROWS = (500, 2_000)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ROWS))
    parser.add_argument("--only", nargs="*", default=list(WHAT), choices=WHAT, metavar="WHAT")
    options = parser.parse_args()
    rows = QUICK_ROWS if options.quick else options.rows
    with TemporaryDirectory() as folder:
        lines = [line for number in rows for line in of_size(Path(folder) / str(number), number, options)]
    lines = merged(lines) if options.save else lines
    Report(
        name="exports",
        command=f"python -m bench.exports{' --quick' if options.quick else ''}",
        rows=lines,
        notes=[f"The largest peak over that of the smallest run: {growth(lines)}."],
        packages=PACKAGES,
    ).show(save=options.save)


def merged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The saved lines, with these in the place of those that tell of the same; small runs first."""
    file = RESULTS / "exports.json"
    saved = json.loads(file.read_text())["rows"] if file.exists() else []
    found = {(line["rows"], WHAT.index(line["what"])): line for line in (*saved, *lines)}
    return [found[key] for key in sorted(found)]


def of_size(run: Path, num_rows: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for each command on a run of so many rows; the run is taken away after them."""
    run.mkdir()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        apart.submit(made, run / "run.db", num_rows).result()
    for what in options.only:
        command = ["report", str(run)] if what == "report" else ["export", str(run), "--format", what]
        yield {"what": what, "rows": num_rows, **measured(command), "out MB": size_of(run / "out") / 1e6}
        shutil.rmtree(run / "out", ignore_errors=True)
    shutil.rmtree(run)


def made(path: Path, num_rows: int) -> None:
    """Make the store, in a process of its own: the kernel counts what the parent held before into a child's peak."""
    from bench.crash.resume import make

    make(path, num_rows)


def measured(arguments: Sequence[str]) -> dict[str, float]:
    """Seconds, seconds of CPU and the peak of resident memory of one command.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "star_agents", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(arguments)}: exit code {child.returncode}")
    return {
        "s": time.perf_counter() - began,
        "cpu s": used.ru_utime + used.ru_stime,
        "peak MB": used.ru_maxrss / 1e3,
    }


def growth(lines: Sequence[dict[str, Any]]) -> str:
    """The largest peak of each command over that of the smallest run."""
    peaks: dict[str, list[float]] = {}
    for line in lines:
        peaks.setdefault(line["what"], []).append(line["peak MB"])
    return ", ".join(f"{what} {max(found) / found[0]:.2f}" for what, found in peaks.items())


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
