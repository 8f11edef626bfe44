"""Token buckets: so much a minute, and no more than a burst at once.

Law: over any span of t seconds at most `burst + rate * t` is taken, however the takers are timed, except
that one taking larger than the burst goes through alone and is then waited for. Time is an argument.
"""

TICK_S = 1e-6
"""A wait shorter than this is none: rounding must not make a timer that fires for ever."""

SECONDS_PER_MINUTE = 60.0
BURST_S = 6.0
"""A full bucket holds what flows in in this time: a tenth of a minute's worth, so no minute holds much more."""


class TokenBucket:
    """Fills at `per_minute`; a taking waits until the bucket holds it."""

    __slots__ = ("_burst", "_level", "_rate", "_updated_at")

    def __init__(self, per_minute: float) -> None:
        if not per_minute > 0:
            raise ValueError(f"a rate must be positive, not {per_minute}")
        self._rate = per_minute / SECONDS_PER_MINUTE
        self._burst = max(1.0, self._rate * BURST_S)
        self._level = self._burst
        self._updated_at = float("inf")
        """Of the level; infinite before the first use, when there is nothing to fill."""

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken; 0 when it may now."""
        missing = min(amount, self._burst) - self._fill(now)
        if missing <= 0.0:
            return 0.0
        return missing / self._rate + max(0.0, self._updated_at - now)

    def take(self, now: float, amount: float) -> None:
        """Take it, having asked `wait_s`."""
        self._level = self._fill(now) - amount

    def give_back(self, now: float, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes what was used beyond."""
        self._level = min(self._burst, self._fill(now) + amount)

    def empty_until(self, until: float) -> None:
        """Hold nothing until then: whoever waited out a pause finds the flow, not the burst that had gathered."""
        self._level = min(self._level, 0.0)
        self._updated_at = until

    def _fill(self, now: float) -> float:
        """The level at `now`; a time before the last is no time."""
        elapsed = now - self._updated_at
        if elapsed > 0.0:
            self._level = min(self._burst, self._level + self._rate * elapsed)
            self._updated_at = now
        elif self._updated_at == float("inf"):
            self._updated_at = now
        return self._level

    def __repr__(self) -> str:
        return f"<TokenBucket {self._level:.1f}/{self._burst:.1f} +{self._rate:.2f}/s>"
