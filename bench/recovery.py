"""What crashes cost, and what it costs that they cost nothing: kills, power cuts, resuming, durability.

    python -m bench.recovery [--only PART ...] [--kills N] [--cuts N] [--seed S] [--within-s S] [--save] [--quick]

`kills` ends starts of a small run with SIGKILL at every failpoint and at random moments, `cuts` looks at what a disk
could hold when the power goes, `planted` puts bugs in that both must find, `resume` opens stores of 10,000 rows to a
million, `durability` runs the same seeds with and without a store. With `--save` the lines of the parts that were run
replace those in bench/results/recovery.json; the others stay.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from bench.crash.durability import SLOTS, Measured, measure
from bench.crash.kills import kills
from bench.crash.planted import PLANTED
from bench.crash.power import cuts
from bench.crash.resume import make, resume
from bench.crash.small_run import CONCURRENCY
from bench.harness.report import RESULTS, Report, parser_of

Row = dict[str, Any]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS), metavar="PART")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within-s", type=float, default=float("inf"), help="kills end after so long, however many")
    options = parser.parse_args()
    if options.quick:
        options.kills, options.cuts = 10, 20
    rows: list[Row] = []
    for part in options.only:
        with TemporaryDirectory() as folder:
            rows += [{"part": part, **row} for row in PARTS[part](Path(folder), options)]
    Report(
        name="recovery",
        command=f"python -m bench.recovery{' --quick' if options.quick else ''}",
        rows=merged(rows) if options.save else rows,
        notes=["`wasted`: calls that one kill cost at most, of the endpoint's concurrency."],
    ).show(save=options.save)
    sys.exit(any(row.get("met") == "no" and row["part"] != "durability" for row in rows))


def merged(rows: list[Row]) -> list[Row]:
    """The saved lines, with these in the place of those that tell of the same."""
    file = RESULTS / "recovery.json"
    saved: list[Row] = json.loads(file.read_text())["rows"] if file.exists() else []
    names = {(row["part"], row["what"]) for row in rows}
    kept = [row for row in saved if (row["part"], row["what"]) not in names]
    return sorted([*kept, *rows], key=lambda row: list(PARTS).index(row["part"]))


def kill_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """P1, P2, P3 and P4 under SIGKILL."""
    told = kills(folder, options.kills, seed=options.seed, within_s=options.within_s)
    by_point = ", ".join(f"{point} {count}" for point, count in sorted(told.at.items()))
    yield {
        "what": f"kills, seed {options.seed}",
        "count": told.kills,
        "promise": "P1 P2 P3 P4",
        "figure": f"0 lost, 0 doubled, bit-equal; {told.resent} re-sent in all" if not told.problems else "not kept",
        "target": f"0, 0, at most {CONCURRENCY} wasted a kill",
        "met": "no" if told.problems or max(told.wasted) > CONCURRENCY or told.resent > sum(told.wasted) else "yes",
        "wasted": f"{max(told.wasted)} of {CONCURRENCY}, mean {sum(told.wasted) / len(told.wasted):.2g}",
        "detail": told.first_problem() or f"{told.runs} runs, {told.acknowledged} acknowledgements; {by_point}",
    }


def cut_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """P1, P2 and P4 under power cuts."""
    told = cuts(folder, options.cuts, seed=options.seed)
    yield {
        "what": f"power cuts, seed {options.seed}",
        "count": told.cuts,
        "promise": "P1 P2 P4",
        "figure": "0 lost, 0 doubled, 0 corrupt, bit-equal" if not told.problems else "not kept",
        "target": "0, 0, 0",
        "met": "no" if told.problems else "yes",
        "detail": told.problems[0]
        if told.problems
        else f"{told.runs} runs, {told.acknowledged} acknowledgements looked for, {told.resumed} images run to the end",
    }


def planted_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """The negative controls; a kill cannot see a missing sync."""
    for number, planted in enumerate(PLANTED):
        found = []
        if planted != "commits without sync":
            killed = kills(folder / f"kills{number}", 300, seed=options.seed, planted=planted)
            found.append(f"after {killed.kills} kills" if killed.problems else "not by kills")
        cut = cuts(folder / f"cuts{number}", 600, seed=options.seed, share=0.15, planted=planted)
        found.append(f"after {cut.cuts} cuts" if cut.problems else "not by cuts")
        if cut.broken_off:
            found.append(f"the bug ended {cut.broken_off} of {cut.runs} runs by itself")
        yield {
            "what": f"planted: {planted}",
            "promise": "the harness",
            "figure": "found",
            "target": "found",
            "met": "no" if any(one.startswith("not") for one in found) else "yes",
            "detail": ", ".join(found),
        }


def resume_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """P5."""
    for rows, target in ((10_000, 2.0), (100_000, 2.0), (1_000_000, 10.0)):
        if options.quick and rows > 10_000:
            return
        path = folder / f"{rows}" / "run.db"
        path.parent.mkdir()
        make(path, rows)
        found = resume(path, rows)
        yield {
            "what": f"resume at {rows:,} rows",
            "promise": "P5",
            "figure": f"{found.total_s:.2f} s",
            "target": f"at most {target:g} s",
            "met": "yes" if found.total_s <= target else "no",
            "detail": f"looked over {found.look_over_s:.2f} s, loaded {found.load_s:.2f} s; database "
            f"{found.database_bytes / 1e6:.0f} MB, shards {found.shard_bytes / 1e6:.0f} MB",
        }


def durability_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """P6: the same seeds with the journal and without, in turn."""
    for latency_s, num_seeds in ((0.0, 400), (0.1, 250), (1.0, 50)):
        with_it: list[Measured] = []
        without: list[Measured] = []
        for _ in range(1 if options.quick else 3):
            for is_durable, done in ((True, with_it), (False, without)):
                count = 40 if options.quick else num_seeds
                done.append(measure(folder, num_seeds=count, latency_s=latency_s, is_durable=is_durable))
        yield {"what": f"durability, answers after {latency_s * 1e3:g} ms", **durability(with_it, without)}


def durability(with_it: list[Measured], without: list[Measured]) -> Row:
    """Throughput over throughput of the same round, and how long a reply waits to be durable."""
    ratio = median(on.answers_per_s / off.answers_per_s for on, off in zip(with_it, without, strict=True))
    waits = quantiles([wait for one in with_it for wait in one.commit_ms], n=100)
    rates = [median(one.answers_per_s for one in done) for done in (with_it, without)]
    costs = [median(one.cpu_ms for one in done) for done in (with_it, without)]
    return {
        "promise": "P6",
        "figure": f"{ratio:.3f} of the throughput; durable in {waits[49]:.1f} ms, p99 {waits[98]:.1f} ms",
        "target": "at least 0.98; p99 below 25 ms",
        "met": "yes" if ratio >= 0.98 and waits[98] < 25 else "no",
        "detail": f"{SLOTS} slots; {rates[0]:.0f} and {rates[1]:.0f} answers/s; "
        f"CPU {costs[0]:.3f} and {costs[1]:.3f} ms an answer",
    }


PARTS: dict[str, Callable[[Path, argparse.Namespace], Iterator[Row]]] = {
    "kills": kill_rows,
    "cuts": cut_rows,
    "planted": planted_rows,
    "resume": resume_rows,
    "durability": durability_rows,
}

if __name__ == "__main__":
    main()
