"""How far `star-agents score` is from the public reference programs: every number, every status, and what bf16 costs.

    python -m bench.parity [--golden DIR] [--rows N] [--only WORD ...] [--no-bfloat16] [--save] [--quick]

Scores golden rows (values by the unmodified public programs, in float32) through the command line, one file a
convention and model, and compares every number that the reference gives. Where it gives none (NaN, or no perplexity at
all) ours must have a status and no number. The same files once more in bfloat16 show what that costs, by the length of
the response. Needs the packaged models.
"""

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness.ranks import bin_of, quantile, relative
from bench.harness.report import SCORING, Report, parser_of, table

GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "golden"
MODELS = {"smollm2": "smollm2-135m", "gemma3": "gemma3-270m"}
BINS = (2, 5, 10, 20, 50, 100, 200)
"""Upper ends of the bins of response tokens."""
TARGET = 1e-4
MEDIAN_ROWS = 3
"""A bin of fewer rows has no median worth showing."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One golden file beside our scores."""

    name: str
    worst: Mapping[str, float]
    """The largest relative difference, by the name of the number."""
    numbers: int
    statuses: Counter[str]
    disagreements: tuple[str, ...]
    """Ids of rows on which only one side has a score, or only one side cut the response."""
    ifd_errors: tuple[tuple[int, float], ...]
    """Scored response tokens and relative error of the IFD, row by row."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--golden", type=Path, default=GOLDEN, metavar="DIR")
    parser.add_argument("--rows", type=int, default=None, help="use the first N rows of each file")
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD", help="files with one of these in their name")
    parser.add_argument("--no-bfloat16", action="store_true", help="float32 only: half the time")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.only = 4, ["superfiltering_smollm2_open"]
    files = [file for file in sorted(options.golden.glob("*.jsonl")) if any(word in file.stem for word in options.only)]
    exact, rounded = [], []
    for file in files:
        golden = read(file, options.rows)
        exact.append(compared(file.stem, golden, "float32"))
        if not options.no_bfloat16:
            rounded.append(compared(file.stem, golden, "bfloat16"))
        print(exact[-1].name, dict(exact[-1].worst), flush=True)
    worst = max(max(each.worst.values()) for each in exact)
    Report(
        name="parity",
        command="python -m bench.parity" + (" --quick" if options.quick else f" --rows {options.rows or 'all'}"),
        rows=[row(each) for each in exact],
        notes=notes(exact, rounded),
        more={"worst": worst, "bfloat16": {each.name: each.ifd_errors for each in rounded}},
        packages=SCORING,
    ).show(save=options.save)
    sys.exit(worst > TARGET or any(each.disagreements for each in exact))


def read(file: Path, count: int | None) -> list[Row]:
    """Golden rows."""
    with file.open() as lines:
        return [json.loads(line) for line in islice(lines, count)]


def compared(name: str, golden: Sequence[Row], dtype: str) -> Compared:
    """Score the texts of a golden file and compare."""
    convention, model, _ = name.split("_")
    return compare(name, golden, score(golden, convention, MODELS[model], dtype))


def score(golden: Sequence[Row], convention: str, model: str, dtype: str) -> dict[int, Row]:
    """Run the command on the texts of golden rows; scores under the model by number of row."""
    with TemporaryDirectory() as folder:
        data, out = Path(folder, "data.jsonl"), Path(folder, "out.jsonl")
        texts = ({key: row[key] for key in ("id", "instruction", "input", "output")} for row in golden)
        data.write_text("".join(json.dumps(row) + "\n" for row in texts))
        command = [sys.executable, "-m", "star_agents", "score", str(data), "--out", str(out), "--device", "cpu"]
        options = ["--small", model, "--ifd", convention, "--dtype", dtype]
        subprocess.run([*command, *options], check=True, capture_output=True)
        return {row["number"]: row["small"] for row in map(json.loads, out.read_text().splitlines())}


def compare(name: str, golden: Sequence[Row], scored: Mapping[int, Row]) -> Compared:
    """Our scores beside the reference's. Pure."""
    theirs_of = {"ppl_alone": "ppl_alone", "ppl_cond": "ppl_cond", "ifd": "ifd"}
    if name.startswith("cherry"):
        theirs_of["ifd"] = "ifd_loss_ratio"
    worst, errors, statuses, wrong = dict.fromkeys(theirs_of, 0.0), [], Counter[str](), []
    numbers = 0
    for number, row in enumerate(golden):
        own = scored.get(number, {"status": "left out", "ifd": None})
        statuses[own["status"]] += 1
        true = {ours: float(row[theirs]) for ours, theirs in theirs_of.items()}
        has_score = all(map(math.isfinite, true.values()))
        if has_score is not (own["ifd"] is not None) or (
            has_score and (own["status"] == "truncated") != row["truncated"]
        ):
            wrong.append(str(row["id"]))
        if not has_score or own["ifd"] is None:
            continue
        off = {ours: relative(own[ours], value) for ours, value in true.items()}
        worst = {ours: max(worst[ours], off[ours]) for ours in off}
        errors.append((int(row["n_scored_cond"]), off["ifd"]))
        numbers += len(off)
    return Compared(
        name=name,
        worst=worst,
        numbers=numbers,
        statuses=statuses,
        disagreements=tuple(wrong),
        ifd_errors=tuple(errors),
    )


def row(each: Compared) -> dict[str, Any]:
    """A line of the table."""
    return {
        "golden rows": each.name,
        "rows": each.statuses.total(),
        "numbers": each.numbers,
        **{f"{name} off": f"{worst:.1e}" for name, worst in each.worst.items()},
        "statuses": ", ".join(f"{count} {status}" for status, count in each.statuses.most_common()),
        "disagree": len(each.disagreements),
    }


def notes(exact: Sequence[Compared], rounded: Sequence[Compared]) -> list[str]:
    """The verdict, and the errors in bfloat16 by length."""
    worst = max(max(each.worst.values()) for each in exact)
    said = [f"- largest relative difference in float32: {worst:.1e} (target <= {TARGET:.0e})"]
    said += [f"- {each.name}: disagrees on {', '.join(each.disagreements)}" for each in exact if each.disagreements]
    if errors := [error for each in rounded for error in each.ifd_errors]:
        said += ["", "Relative error of the IFD in bfloat16, by scored response tokens:", "", table(by_length(errors))]
    return said


def by_length(errors: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    """A line for each bin of lengths that has rows, and one for all."""
    names = [bin_of(length, BINS) for length, _ in errors]
    bins = [bin_of(bound, BINS) for bound in (*BINS, BINS[-1] + 1)]
    lines = []
    for name in (*bins, "all"):
        off = [error for own, (_, error) in zip(names, errors, strict=True) if name in {own, "all"}]
        if off:
            lines.append(
                {
                    "tokens": name,
                    "rows": len(off),
                    "median": f"{median(off):.2%}" if len(off) >= MEDIAN_ROWS else "",
                    "95 %": f"{quantile(off, 0.95):.2%}" if len(off) >= MEDIAN_ROWS else "",
                    "max": f"{max(off):.2%}",
                }
            )
    return lines


if __name__ == "__main__":
    main()
