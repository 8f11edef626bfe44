"""What a scored data set looks like: rows by status, and IFD by the length of the response.

Memory does not grow with rows: IFDs are counted on a logarithmic grid, so a quantile is right to half a per cent.
Short responses have low IFDs for no merit of theirs (docs/scoring.md), which is why length is shown.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from star_agents.storage.score_rows import MODELS

LENGTHS = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Upper ends of the bins of response length, in tokens; the last bin has none."""

_STEP = 0.005
"""Width of the grid, in nats."""

_TINY = 1e-12
_QUARTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}


class ScoreTally:
    """`storage.score_files.Tally`: counts rows of scores as they are written."""

    def __init__(self) -> None:
        self._rows = 0
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._grids: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row of scores into account."""
        self._rows += 1
        for model in MODELS:
            if model in row:
                self._add(model, row[model])

    def report(self) -> dict[str, Any]:
        """Rows; `status` by model; and by model and length of the response, quartiles of IFD."""
        return {
            "rows": self._rows,
            "status": {model: dict(sorted(counts.items())) for model, counts in self._statuses.items()},
            "ifd": {model: self._by_length(model) for model in self._statuses},
        }

    def _add(self, model: str, score: Mapping[str, Any]) -> None:
        self._statuses[model][score["status"]] += 1
        if score["ifd"] is not None:
            length = bisect_left(LENGTHS, score["n_response_tokens"])
            self._grids[model, length][round(math.log(max(score["ifd"], _TINY)) / _STEP)] += 1

    def _by_length(self, model: str) -> list[dict[str, Any]]:
        lines = []
        for length in range(len(LENGTHS) + 1):
            if grid := self._grids.get((model, length)):
                figures = {name: quantile(grid, share) for name, share in _QUARTILES.items()}
                lines.append({"tokens": _label(length), "rows": grid.total(), **figures})
        return lines


def quantile(grid: Mapping[int, int], share: float) -> float:
    """The value below which a share of what was counted lies, to half a step of the grid."""
    left = share * sum(grid.values())
    for mark in sorted(grid):
        left -= grid[mark]
        if left <= 0:
            return math.exp(mark * _STEP)
    raise ValueError("of nothing there is no quantile")


def _label(length: int) -> str:
    """`6-10`, or `1001+`."""
    above = LENGTHS[length - 1] + 1 if length else 1
    return f"{above}-{LENGTHS[length]}" if length < len(LENGTHS) else f"{above}+"
