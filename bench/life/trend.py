"""How fast a figure grows: a line through its samples by least squares. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Trend:
    """`first` and `last` are medians of the first and the last quarter.

    `per_hour` has its standard error, which takes neighbouring samples for independent.
    """

    per_hour: float
    error: float
    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.3g} ± {self.error:.2g} an hour ({self.first:.4g} -> {self.last:.4g})"


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    """Of samples in the order of time; three are needed for an error.

    Raises:
        statistics.StatisticsError: fewer than two, or all at the same time.
    """
    line = linear_regression(at_s, values)
    mean = sum(at_s) / len(at_s)
    rest = sum((value - line.slope * at - line.intercept) ** 2 for at, value in zip(at_s, values, strict=True))
    free = max(1, len(at_s) - 2)
    error = (rest / free / sum((at - mean) ** 2 for at in at_s)) ** 0.5
    quarter = max(1, len(values) // 4)
    return Trend(HOUR_S * line.slope, HOUR_S * error, median(values[:quarter]), median(values[-quarter:]))
