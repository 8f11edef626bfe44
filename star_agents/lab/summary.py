"""Many runs of one config as means with 95 % confidence intervals.

Law: runs are independent of each other, so the interval is Student's; of one run there is none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

from star_agents.core.records import RowSource
from star_agents.lab.outcome import Outcome

# The 97.5 % quantiles of Student's t, by degrees of freedom; between two of them the larger is taken.
_QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
_QUANTILES |= {12: 2.179, 15: 2.131, 19: 2.093, 24: 2.064, 29: 2.045, 39: 2.023, 59: 2.001, 99: 1.984, 10**9: 1.98}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and the half width of its 95 % interval: None where there was one run only."""

    mean: float
    half_width: float | None

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.half_width is None else f"{self.mean:.4g} ± {self.half_width:.2g}"

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Its upper end."""
        return self.mean + (self.half_width or 0.0)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent values.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("there is no mean of nothing")
    if len(values) == 1:
        return Estimate(values[0], None)
    return Estimate(fmean(values), _quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values)))


def _quantile(freedom: int) -> float:
    return next(_QUANTILES[low] for low, high in pairwise(_QUANTILES) if low <= freedom < high)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """What a table shows, by name; what some run could not tell is left out."""
    found: dict[str, list[float | None]] = {
        "quality of the selected rows": [one.selected for one in outcomes],
        "quality of all drawn candidates": [one.drawn for one in outcomes],
        "quality of the base candidates": [one.base for one in outcomes],
        "regret a draw": [one.regret for one in outcomes],
        "weight on the best pair": [one.p_best for one in outcomes],
        **{f"rows from {source}": [one.rows.get(source, 0) for one in outcomes] for source in RowSource},
        "judge calls a seed": [one.judge_calls / one.seeds for one in outcomes],
        "calls a seed": [sum(one.calls.values()) / one.seeds for one in outcomes],
        "failed calls": [one.failures for one in outcomes],
        "tokens": [one.tokens for one in outcomes],
        "dollars": [one.usd for one in outcomes],
        "virtual time, s": [one.virtual_s for one in outcomes],
        "seeds/s of this machine": [one.seeds / one.wall_s for one in outcomes],
    }
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: estimate(values) for name, values in known.items() if len(values) == len(outcomes)}
