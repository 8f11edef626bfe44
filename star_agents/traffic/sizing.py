"""How many seeds to keep in flight, so that every endpoint is busy and has a second helping waiting.

Laws: the number is within its bounds and within the memory that seeds may take; more calls of each seed at an
endpoint never ask for more seeds, a larger limit never for fewer; and nothing within `SLACK` of the present number
moves it, so that it comes to rest.

By Little's law the calls at an endpoint are seeds/s times the time that a seed's calls spend there; for each seed in
flight that is a share of it, which is measured by counting. An endpoint whose share is small, because another is the
slow one, asks for many seeds: the bounds are what says how many are worth their memory, and how stale a plan may get.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

HELPINGS = 2.0
"""Calls at an endpoint, those that wait there included, for each that may be in flight."""
GROWTH = 1.5
SHRINKAGE = 0.8
"""One step changes the number by no more than these."""
SLACK = 0.6, 1.1
"""Between these shares of the present number what is wanted is near enough: too few cost more than too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One endpoint, averaged over some seconds: its limit, its calls in flight, and those that wait for room."""

    limit: float
    in_flight: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Seeds at least and at most, and the bytes that all in flight may take; None is no bound."""

    at_least: int = 1
    at_most: int
    max_bytes: int | None = None


def seeds_in_flight(now_in_flight: int, loads: Sequence[Load], bounds: Bounds, bytes_per_seed: float = 0.0) -> int:
    """Seeds to keep in flight from now on; `now_in_flight` were while the loads were measured."""
    wanted = max((_wanted(now_in_flight, load) for load in loads), default=float(now_in_flight))
    if not SLACK[0] * now_in_flight <= wanted <= SLACK[1] * now_in_flight:
        wanted = math.sqrt(now_in_flight * wanted)  # half of the way: what was measured lags behind
        wanted = min(max(wanted, SHRINKAGE * now_in_flight), max(GROWTH * now_in_flight, now_in_flight + 1.0))
    else:
        wanted = float(now_in_flight)
    return max(min(int(wanted), _most(bounds, bytes_per_seed)), bounds.at_least)


def _wanted(now_in_flight: int, load: Load) -> float:
    """Seeds with which this endpoint would have its helpings."""
    present = load.in_flight + load.waiting
    if not present or not load.limit:
        return 0.0  # nobody asks it: more seeds would not change that
    return now_in_flight * HELPINGS * load.limit / present


def _most(bounds: Bounds, bytes_per_seed: float) -> int:
    if bounds.max_bytes is None or bytes_per_seed <= 0.0:
        return bounds.at_most
    return int(min(bounds.at_most, bounds.max_bytes / bytes_per_seed))
