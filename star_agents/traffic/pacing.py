"""When one more call may start: the controller's limit on calls in flight, a pause, and what a minute allows.

Laws: never does a call start with `limit` in flight, nor with `ceiling` in flight or kept (answered, and not yet on
record); none starts before a pause has ended; a longer pause is never shortened. After a pause calls start one by one,
no faster than the limit turns over, until the limit is reached: a crowd that waited out a pause does not come through
all at once. Since the limit is at least 1, either a call may start after a known time or one is in flight or kept. A
pure state machine: it owns no tasks and no clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from star_agents.traffic.control import Controller, Turnover
from star_agents.traffic.limits import TICK_S, TokenBucket

REOPENING_GAIN = 1.1
"""After a pause calls start this much faster than the limit turns over."""
FIRST_TURNOVER_S = 1.0
"""Taken for the time a call takes, where none has been answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a minute allows; None is no bound. Providers bound tokens as a whole, or input and output apart."""

    requests: float | None = None
    tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


class Pacer:
    """Counts the calls of one account in and out. `tokens` are those of prompt and answer, `output` the answer's."""

    __slots__ = ("_by_kind", "_opens_at", "_paused_until", "_requests", "_turnover", "controller", "in_flight", "kept")

    def __init__(self, controller: Controller, rates: Rates | None = None) -> None:
        self.controller = controller
        self.in_flight = 0
        self.kept = 0
        self._turnover = Turnover()
        self._paused_until = float("-inf")
        self._opens_at: float | None = None
        """When the next call may start, while the gate re-opens after a pause."""
        self._set_rates(rates or Rates())

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return self.controller.limit

    def retune(self, now: float, rates: Rates, ceiling: int) -> None:
        """Other bounds from now on. New buckets begin empty: what the old ones let through is not let through twice."""
        self._set_rates(rates)
        for bucket in self._buckets():
            bucket.empty_until(max(now, self._paused_until))
        self.controller.bound(now, ceiling)

    def wait_s(self, now: float, tokens: int, output: int = 0, *, has_place: bool = False) -> float | None:
        """Seconds until such a call may start, 0 for now, None for: not before one ends.

        One that `has_place` is among the kept, and would only change over.
        """
        if self.in_flight >= self.controller.limit:
            return None
        if not has_place and self.in_flight + self.kept >= self.controller.ceiling:
            return None
        wait = 0.0 if self._opens_at is None else self._opens_at - now
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(now, 1))
        for bucket, (of_input, of_output) in self._by_kind:
            wait = max(wait, bucket.wait_s(now, of_input * (tokens - output) + of_output * output))
        return wait if wait > TICK_S else 0.0

    def start(self, now: float, tokens: int, output: int = 0) -> None:
        """Count a call in; only when `wait_s` is 0."""
        self.in_flight += 1
        self.controller.on_start(now, self.in_flight)
        if self._requests is not None:
            self._requests.take(now, 1)
        for bucket, (of_input, of_output) in self._by_kind:
            bucket.take(now, of_input * (tokens - output) + of_output * output)
        if self._opens_at is not None:
            self._opens_at = self._next_opening(now, self._opens_at)

    def end(self, now: float, tokens: int, used: int | None, output: int = 0, output_used: int = 0) -> None:
        """Count a call out that was let in for `tokens` tokens; `used` is None where nobody knows."""
        self.in_flight -= 1
        if used is None:
            return
        unread, unwritten = tokens - output - (used - output_used), output - output_used
        for bucket, (of_input, of_output) in self._by_kind:
            bucket.give_back(now, of_input * unread + of_output * unwritten)

    def keep(self) -> None:
        """A call that has ended goes on counting against the ceiling; the controller measures those in flight alone."""
        self.kept += 1

    def let_go(self) -> None:
        """One that was kept counts no more."""
        self.kept -= 1

    def succeeded(self, now: float, sent_at: float, output_tokens: int) -> None:
        """A call was answered; said before its `end`."""
        self._turnover.note(now - sent_at)
        self.controller.on_success(now, sent_at, self.in_flight, output_tokens)

    def limited(self, now: float, sent_at: float, pause_s: float) -> None:
        """A call was turned away by a rate limit, and nobody is to come back for `pause_s` seconds."""
        self.controller.on_limited(now, sent_at)
        self.pause(now + pause_s)

    def overloaded(self, now: float, sent_at: float) -> None:
        """The server could not serve a call."""
        self.controller.on_overload(now, sent_at)

    def pause(self, until: float) -> None:
        """Start nothing before `until`."""
        if until <= self._paused_until:
            return
        self._paused_until = self._opens_at = until
        for bucket in self._buckets():
            bucket.empty_until(until)

    def paused_until(self, now: float) -> float | None:
        """When the pause ends, or None where there is none."""
        return self._paused_until if self._paused_until > now else None

    def _set_rates(self, rates: Rates) -> None:
        self._requests = TokenBucket(rates.requests) if rates.requests else None
        kinds = (rates.tokens, (1, 1)), (rates.input_tokens, (1, 0)), (rates.output_tokens, (0, 1))
        self._by_kind = tuple((TokenBucket(rate), weights) for rate, weights in kinds if rate)

    def _buckets(self) -> Iterator[TokenBucket]:
        if self._requests is not None:
            yield self._requests
        yield from (bucket for bucket, _ in self._by_kind)

    def _next_opening(self, now: float, opened_at: float) -> float | None:
        """A call came through after a pause: when the next may, or None where the crowd is over."""
        turnover, limit = self._turnover.seconds or FIRST_TURNOVER_S, self.controller.limit
        if self.in_flight >= limit or now - opened_at > turnover:
            return None
        return now + turnover / (REOPENING_GAIN * limit)
