"""What every benchmark prints: the machine and the versions, one JSON line, and a table for people.

With `--save` the same goes to `bench/results/NAME.json` and `NAME.md`; `--quick` never writes there.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from star_agents.core import clock

RESULTS = Path(__file__).parents[1] / "results"
OURS = ("star-agents", "aiohttp", "orjson", "uvloop", "apsw")
SCORING = ("star-agents", "torch", "transformers", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A benchmark's result. `rows` are cells by column, in the order to be shown; `notes` are lines under the table."""

    name: str
    command: str
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    packages: Sequence[str] = OURS
    """Whose versions are told."""

    def show(self, *, save: bool) -> None:
        """Print it, and write it down if wanted."""
        told = {"bench": self.name, "command": self.command, "machine": machine(), "versions": versions(self.packages)}
        line = json.dumps({**told, **self.more, "rows": self.rows})
        page = self._page(told["machine"])
        print(f"\n{page}\n{line}", flush=True)
        if save:
            RESULTS.mkdir(exist_ok=True)
            RESULTS.joinpath(f"{self.name}.json").write_text(line + "\n")
            RESULTS.joinpath(f"{self.name}.md").write_text(page)

    def _page(self, told: Any) -> str:  # noqa: ANN401  # JSON
        machine_line = ", ".join(f"{name} {value}" for name, value in told.items())
        version_line = ", ".join(f"{name} {value}" for name, value in versions(self.packages).items())
        head = f"# {self.name}\n\n`{self.command}`\n\nMachine: {machine_line}.\nOurs: {version_line}.\n"
        return "\n".join((head, table(self.rows), "", *self.notes)).rstrip() + "\n"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table that also reads well as it stands; the columns are those of all rows, in order."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join((lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def spread(values: Sequence[float]) -> str:
    """Median and range: `0.24 (0.22..0.25)`."""
    return f"{median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = int(next(line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))) / 2**20
    told = {
        "cores": os.cpu_count(),
        "cpu": cpu or platform.machine(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "when": clock.wall()[:16],
    }
    if gpus := _gpus():
        told["gpus"] = gpus
    return told


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _gpus() -> str:
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        return ", ".join(told.split("\n")).strip(", ")
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions(packages: Sequence[str] = OURS) -> dict[str, str]:
    """Ours, and of what we stand on."""
    return {name: version(name) for name in packages}


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks share. From now on SIGTERM ends this process as Ctrl-C does, children too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds: no figure of it counts")
    parser.add_argument("--save", action="store_true", help="write the table and the JSON line to bench/results")
    return parser
