"""How far `star-agents score` is from the public reference programs: the largest relative difference.

    python bench/parity.py [--rows N]

Scores the golden sample of tests/data/golden through the command line, one file a convention and model, and
compares every number that the reference gives. Needs the packaged models, and about a minute per 60 rows.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "golden"
MODELS = {"smollm2": "smollm2-135m", "gemma3": "gemma3-270m"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=None, help="use the first N rows of each file")
    rows = parser.parse_args().rows
    worst = 0.0
    for file in sorted(GOLDEN.glob("*.jsonl")):
        convention, model, _ = file.stem.split("_")
        golden = [json.loads(line) for line in file.read_text().splitlines()][:rows]
        largest, compared, agreed = compare(golden, score(golden, convention, MODELS[model]), convention)
        worst = max(worst, largest)
        counts = f"rows {len(golden):>4}  numbers {compared:>4}  no-score rows {agreed:>3}"
        print(f"{file.stem:<28} {counts}  max {largest:.1e}")
    print(f"largest relative difference: {worst:.1e}")
    sys.exit(worst > 1e-4)


def score(golden: list[dict[str, Any]], convention: str, model: str) -> dict[int, dict[str, Any]]:
    """Run the command on the texts of golden rows; scored rows by number."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "data.jsonl"), Path(folder, "out.jsonl")
        texts = ({key: row[key] for key in ("id", "instruction", "input", "output")} for row in golden)
        data.write_text("".join(json.dumps(row) + "\n" for row in texts))
        command = [sys.executable, "-m", "star_agents", "score", str(data), "--out", str(out)]
        options = ["--small", model, "--ifd", convention, "--dtype", "float32"]
        subprocess.run([*command, *options], check=True, stderr=subprocess.DEVNULL)
        return {row["number"]: row["small"] for row in map(json.loads, out.read_text().splitlines())}


def compare(golden: list[dict[str, Any]], scored: dict[int, dict[str, Any]], convention: str) -> tuple[float, int, int]:
    """Largest relative difference, numbers compared, and rows on which both say that there is no score."""
    largest, compared, agreed = 0.0, 0, 0
    for number, row in enumerate(golden):
        wanted = {"ppl_alone": "ppl_alone", "ppl_cond": "ppl_cond", "ifd": "ifd"}
        if convention == "cherry":
            wanted["ifd"] = "ifd_loss_ratio"
        values = {ours: float(row[theirs]) for ours, theirs in wanted.items()}
        if not all(map(math.isfinite, values.values())):
            agreed += number not in scored or scored[number]["ifd"] is None
            continue
        for name, value in values.items():
            largest = max(largest, abs(scored[number][name] - value) / abs(value))
            compared += 1
    return largest, compared, agreed


if __name__ == "__main__":
    main()
