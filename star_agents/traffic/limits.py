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
        self._updated_at: float | None = None

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken; 0 when it may now."""
        self._fill(now)
        return max(0.0, (min(amount, self._burst) - self._level) / self._rate)

    def take(self, now: float, amount: float) -> None:
        """Take it, having asked `wait_s`."""
        self._fill(now)
        self._level -= amount

    def give_back(self, now: float, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes what was used beyond."""
        self._fill(now)
        self._level = min(self._burst, self._level + amount)

    def _fill(self, now: float) -> None:
        if self._updated_at is not None:
            self._level = min(self._burst, self._level + self._rate * max(0.0, now - self._updated_at))
        self._updated_at = now

    def __repr__(self) -> str:
        return f"<TokenBucket {self._level:.1f}/{self._burst:.1f} +{self._rate:.2f}/s>"
