"""Hill climbing on throughput: the smallest level whose rate is within a hair of the best.

Laws: the level rests only where its measured rate is within a `slack` of the best of late, and from there a higher one
is tried now and then and kept only if it pays; no level is left for a difference that may be chance. It double-steps
upwards until that pays no more, trims what was too much, then holds. So it comes to the knee of a saturating server
from below and from above, and follows it.

A level and its rate are whatever the caller measures; the unit of the rate does not matter. With the rate comes its
relative standard error: a difference counts when it is `CLEAR` errors wide, or when the rate is known to within half
a slack, whichever comes first. Latencies whose spread is their mean take thousands of answers for that, and latencies
that are all alike take a turnover.
"""

from enum import Enum, auto
from math import hypot, sqrt

SLACK = 0.02
"""Smaller shares of the best rate are noise, where the rate is measured well."""
RAMP_STEP = 2.0
TRIM_STEP = 0.8
PROBE_STEP = 1.25
HOLD_ROUNDS = 3
TRIM_EVERY = 8
"""Of so many holds one ends in an attempt to do with less, the others in one to do more."""
CLEAR = 2.0
"""Standard errors that are no chance."""
LIKELY = 0.7
"""Enough to double on: that is soon taken back, and a server that could do ten times as much should not wait."""
SHIFT = 0.15
"""A rate that moves this far at an unchanged level is another world."""
FADE = 0.998
"""What is left of the best rate after each measurement: an old best must not be chased for ever."""


class Step(Enum):
    """What the level being measured is for."""

    RAMP = auto()
    TRIM = auto()
    HOLD = auto()
    PROBE = auto()


REASONS = {
    Step.RAMP: "doubling while tokens/s grow with it",
    Step.TRIM: "trying to do with less",
    Step.HOLD: "at the knee: more calls gave no more tokens/s",
    Step.PROBE: "trying whether more calls give more tokens/s",
}


class Climb:
    """Told the rate at the level it asked for, it says which level to measure next."""

    __slots__ = ("_best", "_error", "_holds", "_rate", "_rest", "_rounds", "_slack", "step")

    def __init__(self, slack: float = SLACK) -> None:
        self._slack = slack
        self.step = Step.RAMP
        self._rest = 1.0
        """The last level that was worth it."""
        self._rate = 0.0
        """Its rate."""
        self._error = 0.0
        """Of that, relative."""
        self._best = 0.0
        """Of the rates that are known well."""
        self._rounds = 0
        self._holds = 0

    def measured(self, level: float, rate: float, error: float = 0.0) -> float | None:
        """The level to go to, now that `level` has been seen to give `rate`; None for: measure on."""
        wanted = self._next(level, rate, error)
        if wanted is not None and error <= self._slack:
            self._best = max(self._best * FADE, rate)
        return wanted

    def rest_at(self, level: float, *, is_needed: bool = False) -> None:
        """Something else made the level this one: take it from here.

        If doubling was to blame, see soon if less would do, unless it is known that all of this `is_needed`.
        """
        if self.step is Step.RAMP and not is_needed:
            self._holds = -1
        self._rest, self._rate, self._error, self._best = level, 0.0, 0.0, 0.0
        self.hold()

    def hold(self) -> float:
        """Stay where it was worth it: the level."""
        self.step, self._rounds = Step.HOLD, 0
        return self._rest

    def _next(self, level: float, rate: float, error: float) -> float | None:
        if self.step is Step.HOLD:
            return self._after_hold(level, rate, error)
        bar = (
            max(self._best, self._rate) * (1 - self._slack)
            if self.step is Step.TRIM
            else self._rate * (1 + self._slack)
        )
        wide = LIKELY if self.step is Step.RAMP and rate > bar else CLEAR
        if not self._is_known(error) and abs(rate - bar) <= wide * hypot(rate * error, bar * self._error):
            return None
        if self.step is Step.TRIM:
            return self._after_trim(level, rate, error, is_enough=rate >= bar)
        return self._after_growth(level, rate, error, has_paid=rate > bar)

    def _is_known(self, error: float) -> bool:
        return error <= self._slack / 2

    def _after_growth(self, level: float, rate: float, error: float, *, has_paid: bool) -> float:
        if level <= self._rest:  # there is a ceiling
            return self.hold()
        if has_paid:
            self._rate, self._error = rate, error
            return self._ramp(level)
        return self._trim() if self.step is Step.RAMP else self.hold()

    def _after_trim(self, level: float, rate: float, error: float, *, is_enough: bool) -> float:
        if is_enough and level < self._rest:
            self._rest, self._rate, self._error = level, rate, error
            return self._trim()
        return self.hold()

    def _after_hold(self, level: float, rate: float, error: float) -> float | None:
        before = self._rate
        shift = rate / before - 1 if before else 0.0
        is_shift = abs(shift) > SHIFT + CLEAR * hypot(error, self._error)
        if not is_shift and error > SHIFT / 3:  # nothing hangs on it but what later levels are compared with
            return None
        self._rest = level
        if is_shift:
            self._rate, self._error, self._best = rate, error, rate
        else:
            self._learn(rate, error)
        if is_shift and shift > 0:
            return self._ramp(level)
        self._rounds += 1
        if self._rounds < HOLD_ROUNDS:
            return level
        self._holds += 1
        if self._holds % TRIM_EVERY == 0:
            return self._trim()
        self.step = Step.PROBE
        return max(level * PROBE_STEP, level + 1)

    def _learn(self, rate: float, error: float) -> None:
        """Another look at the level that is held."""
        is_first = not self._rate
        self._rate = rate if is_first else self._rate + (rate - self._rate) / 3
        self._error = error if is_first else sqrt((2 / 3 * self._error) ** 2 + (error / 3) ** 2)

    def _trim(self) -> float:
        self.step = Step.TRIM
        return self._rest * TRIM_STEP

    def _ramp(self, level: float) -> float:
        self.step, self._rest = Step.RAMP, level
        return level * RAMP_STEP
