"""Hill climbing on throughput: the smallest level whose rate is within a hair of the best.

Law: the level rests only where its measured rate is within a `slack` of the best of late, and from there a higher one
is tried now and then and kept only if it pays. It double-steps upwards until that pays no more, trims what was too
much, then holds. So it comes to the knee of a saturating server from below and from above, and follows it.

A level and its rate are whatever the caller measures; the unit of the rate does not matter.
"""

from enum import Enum, auto

SLACK = 0.02
"""Smaller shares of the best rate are noise, where the rate is measured well."""
RAMP_STEP = 2.0
TRIM_STEP = 0.8
PROBE_STEP = 1.25
HOLD_ROUNDS = 3
TRIM_EVERY = 8
"""Of so many holds one ends in an attempt to do with less, the others in one to do more."""
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

    __slots__ = ("_best", "_holds", "_rate", "_rest", "_rounds", "_slack", "step")

    def __init__(self, slack: float = SLACK) -> None:
        self._slack = slack
        self.step = Step.RAMP
        self._rest = 1.0
        """The last level that was worth it."""
        self._rate = 0.0
        """Its rate."""
        self._best = 0.0
        self._rounds = 0
        self._holds = 0

    def measured(self, level: float, rate: float) -> float:
        """The level to go to, now that `level` has been seen to give `rate`."""
        self._best = max(self._best * FADE, rate)
        if self.step is Step.RAMP:
            return self._after_ramp(level, rate)
        if self.step is Step.TRIM:
            return self._after_trim(level, rate)
        if self.step is Step.PROBE:
            return self._after_probe(level, rate)
        return self._after_hold(level, rate)

    def rest_at(self, level: float) -> None:
        """Something else made the level this one: take it from here. If doubling was to blame, see if less would do."""
        self._holds = -1 if self.step is Step.RAMP else self._holds
        self._rest, self._rate, self._best = level, 0.0, 0.0
        self.hold()

    def hold(self) -> float:
        """Stay where it was worth it: the level."""
        self.step, self._rounds = Step.HOLD, 0
        return self._rest

    def _after_ramp(self, level: float, rate: float) -> float:
        if rate > self._rate * (1 + self._slack):
            self._rate = rate
            return self._ramp(level)
        return self._trim()

    def _after_trim(self, level: float, rate: float) -> float:
        if level < self._rest and rate >= self._best * (1 - self._slack):
            self._rest, self._rate = level, rate
            return self._trim()
        return self.hold()

    def _after_probe(self, level: float, rate: float) -> float:
        if level > self._rest and rate > self._rate * (1 + self._slack):
            self._rate = rate
            return self._ramp(level)
        return self.hold()

    def _after_hold(self, level: float, rate: float) -> float:
        before, self._rest = self._rate, level
        self._rate = rate if not before else before + (rate - before) / 3
        if before and rate > before * (1 + SHIFT):
            self._rate = self._best = rate
            return self._ramp(level)
        if before and rate < before * (1 - SHIFT):
            self._rate = self._best = rate
        self._rounds += 1
        if self._rounds < HOLD_ROUNDS:
            return level
        self._holds += 1
        if self._holds % TRIM_EVERY == 0:
            return self._trim()
        self.step = Step.PROBE
        return max(level * PROBE_STEP, level + 1)

    def _trim(self) -> float:
        self.step = Step.TRIM
        return self._rest * TRIM_STEP

    def _ramp(self, level: float) -> float:
        self.step, self._rest = Step.RAMP, level
        return level * RAMP_STEP
