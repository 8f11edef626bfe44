"""Does the judge prefer what is longer? Shares with their uncertainty, of what it was asked about. Pure.

Ties are left out, as in Zheng et al. 2023 (section 3.3, verbosity bias). A share above one half is no proof of a bias:
longer answers may be better. It tells where to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from star_agents.report.sample import Judged

BINS = (0.0, 0.5, 0.8, 1.25, 2.0, float("inf"))
"""Edges of the ratio of lengths, candidate by base."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`, with the interval of Wilson (1927) that holds the true share with 95 % confidence."""

    part: int
    whole: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.part / self.whole


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How often the longer of two answers won, and how often the candidate won by how much longer it was."""

    longer_won: Share | None
    by_ratio: tuple[tuple[str, Share | None], ...]


def length_bias(judged: Sequence[Judged]) -> LengthBias:
    """Of all comparisons that had a winner."""
    decided = [one for one in judged if one.pi_llm in {0.0, 1.0}]
    unequal = [one for one in decided if one.length_ratio != 1.0]
    longer = sum((one.length_ratio > 1.0) == (one.pi_llm == 1.0) for one in unequal)
    by_ratio = []
    for low, high in pairwise(BINS):
        inside = [one for one in decided if low <= one.length_ratio < high]
        by_ratio.append((_label(low, high), _share(sum(one.pi_llm == 1.0 for one in inside), len(inside))))
    return LengthBias(_share(longer, len(unequal)), tuple(by_ratio))


def _share(part: int, whole: int) -> Share | None:
    if not whole:
        return None
    from scipy.stats import binomtest

    interval = binomtest(part, whole).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return Share(part, whole, float(interval.low), float(interval.high))


def _label(low: float, high: float) -> str:
    if low == 0.0:
        return f"below {high:g}"
    return f"{low:g} and more" if high == float("inf") else f"{low:g} to {high:g}"
