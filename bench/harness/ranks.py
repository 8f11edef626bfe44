"""Comparing two lists of scores: how alike their order is, and how far apart their values are. Pure."""

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from statistics import StatisticsError, correlation


def spearman(one: Sequence[float], two: Sequence[float]) -> float:
    """Spearman's rank correlation, ties at their mean rank; 1 where both orders are the same, even if all are tied."""
    first, second = ranks(one), ranks(two)
    if first == second:
        return 1.0
    try:
        return correlation(first, second)
    except StatisticsError:  # one of them is all ties
        return 0.0


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 1 on, equal ones at the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    before = 0
    for _, group in groupby(order, key=values.__getitem__):
        tied = list(group)
        for at in tied:
            found[at] = before + (len(tied) + 1) / 2
        before += len(tied)
    return found


def relative(found: float, true: float) -> float:
    """The relative difference."""
    return abs(found - true) / abs(true) if true else float(found != true)


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that such a share of the values does not exceed."""
    return sorted(values)[max(0, ceil(share * len(values) - 1e-9) - 1)]


def bin_of(length: int, bounds: Sequence[int]) -> str:
    """The name of the bin that a length falls into: `2..5`, or `101..` beyond the last bound."""
    least = 1
    for bound in bounds:
        if length <= bound:
            return f"{least}..{bound}" if least < bound else f"{bound}"
        least = bound + 1
    return f"{least}.."
