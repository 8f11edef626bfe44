"""When one more call may start: a limit on calls in flight, a pause, and what a minute allows.

Laws: never more than `limit` calls in flight; none starts before a pause has ended; a longer pause is never
shortened. A pure state machine: it owns no tasks and no clock, and a controller that learns the limit
replaces this one without its callers noticing.
"""

from star_agents.traffic.limits import TICK_S, TokenBucket


class Pacer:
    """The fixed limit: as many calls as the config says."""

    __slots__ = ("_paused_until", "_requests", "_tokens", "in_flight", "limit")

    def __init__(
        self, limit: int, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        if limit < 1:
            raise ValueError(f"at least one call must be allowed, not {limit}")
        self.limit = limit
        self.in_flight = 0
        self._paused_until = float("-inf")
        self._requests = TokenBucket(requests_per_minute) if requests_per_minute else None
        self._tokens = TokenBucket(tokens_per_minute) if tokens_per_minute else None

    def wait_s(self, now: float, tokens: int) -> float | None:
        """Seconds until a call of about `tokens` tokens may start, 0 for now, None for: not before one ends."""
        if self.in_flight >= self.limit:
            return None
        wait = max(
            self._paused_until - now,
            self._requests.wait_s(now, 1) if self._requests else 0.0,
            self._tokens.wait_s(now, tokens) if self._tokens else 0.0,
        )
        return wait if wait > TICK_S else 0.0

    def start(self, now: float, tokens: int) -> None:
        """Count a call in; only when `wait_s` is 0."""
        self.in_flight += 1
        if self._requests:
            self._requests.take(now, 1)
        if self._tokens:
            self._tokens.take(now, tokens)

    def end(self, now: float, tokens: int, used: int | None) -> None:
        """Count a call out that was let in for `tokens` tokens; `used` is None where nobody knows."""
        self.in_flight -= 1
        if self._tokens and used is not None:
            self._tokens.give_back(now, tokens - used)

    def pause(self, until: float) -> None:
        """Start nothing before `until`."""
        self._paused_until = max(self._paused_until, until)

    def paused_until(self, now: float) -> float | None:
        """When the pause ends, or None where there is none."""
        return self._paused_until if self._paused_until > now else None
