"""Which rows of a scored data set to keep: a rule gives each row a value, and the highest are chosen.

Laws: a row without a score is never chosen; equal values go by the lower row number; a smaller share is always part of
a larger one. Pure. Holds two numbers a row, so ten million rows are 160 MB.
"""

import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOP = re.compile(r"(?P<count>[1-9]\d*)|(?P<percent>\d+(\.\d+)?)%")
_WHOLE = 100


class Rule(StrEnum):
    """What makes a row worth keeping."""

    DUAL = "dual"
    IFD = "ifd"
    GAP = "gap"
    PPL = "ppl"


NEEDS_LARGE = frozenset({Rule.DUAL, Rule.GAP})
"""Rules that compare two models."""


@dataclass(frozen=True, slots=True)
class Top:
    """How many rows to choose: a number, or a share of all rows of the data set."""

    count: int | None = None
    percent: Fraction | None = None

    def of(self, num_rows: int) -> int:
        """The most rows that may be chosen of so many; a share is rounded down."""
        if self.percent is not None:
            return int(num_rows * self.percent / _WHOLE)
        return self.count or 0


def parse_top(text: str) -> Top:
    """Read `10%` or `5000`.

    Raises:
        ValueError: it is neither, or not between nothing and everything.
    """
    match = _TOP.fullmatch(text.strip())
    if match and match["count"]:
        return Top(count=int(match["count"]))
    if match and 0 < (percent := Fraction(match["percent"])) <= _WHOLE:
        return Top(percent=percent)
    raise ValueError("say how many rows (5000), or what share of them (10%)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the user wants chosen. `min_tokens` is of the response, as the small model counts them."""

    rule: Rule
    top: Top
    min_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Numbers of the chosen rows, ascending, and for each reason how many were left out."""

    numbers: NDArray[np.int64]
    left_out: Mapping[str, int]


class Ranking:
    """Takes rows of scores one by one, and says in the end which are chosen."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._values = array("d")
        self._numbers = array("q")
        self._left_out: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row of scores into account."""
        reason = self._reason_against(row)
        if reason is not None:
            self._left_out[reason] += 1
            return
        self._values.append(value_of(self._selection.rule, row))
        self._numbers.append(row["number"])

    def choose(self) -> Choice:
        """The rows with the highest values."""
        values, numbers = np.asarray(self._values), np.asarray(self._numbers, dtype=np.int64)
        most = self._selection.top.of(len(numbers) + self._left_out.total())
        best = np.lexsort((numbers, -values))[:most]
        below = Counter({f"not among the top {most}": len(numbers) - len(best)})
        return Choice(np.sort(numbers[best]), +(self._left_out + below))

    def _reason_against(self, row: Mapping[str, Any]) -> str | None:
        """Why a row cannot be chosen at all; None where it can."""
        rule = self._selection.rule
        for model in ("small", "large") if rule in NEEDS_LARGE else ("small",):
            if row[model]["ifd"] is None:
                return f"no score under {model}: {row[model]['status']}"
        if row["small"]["n_response_tokens"] < self._selection.min_tokens:
            return f"response shorter than {self._selection.min_tokens} tokens"
        if rule is Rule.IFD and row["small"]["ifd"] >= 1.0:
            return "IFD of 1 or more"
        if rule is Rule.DUAL and row["gap"] <= 0.0:
            return "gap of 0 or less"
        return None


def value_of(rule: Rule, row: Mapping[str, Any]) -> float:
    """What a scored row is ranked by, the highest first."""
    match rule:
        case Rule.DUAL | Rule.GAP:
            return float(row["gap"])
        case Rule.IFD:
            return float(row["small"]["ifd"])
        case Rule.PPL:
            return float(row["small"]["ppl_cond"])
