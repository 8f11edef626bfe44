"""When one more call may start: the controller's limit on calls in flight, a pause, and what a minute allows.

Laws: never does a call start with `limit` in flight; none starts before a pause has ended; a longer pause is never
shortened. After a pause calls start one by one, no faster than the limit turns over, until the limit is reached:
a crowd that waited out a pause does not come through all at once. Since the limit is at least 1, either a call may
start after a known time or one is in flight. A pure state machine: it owns no tasks and no clock.
"""

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

    __slots__ = ("_by_kind", "_opens_at", "_paused_until", "_requests", "_turnover", "controller", "in_flight")

    def __init__(self, controller: Controller, rates: Rates | None = None) -> None:
        rates = rates or Rates()
        self.controller = controller
        self.in_flight = 0
        self._turnover = Turnover()
        self._paused_until = float("-inf")
        self._opens_at: float | None = None
        """When the next call may start, while the gate re-opens after a pause."""
        self._requests = TokenBucket(rates.requests) if rates.requests else None
        kinds = (rates.tokens, (1, 1)), (rates.input_tokens, (1, 0)), (rates.output_tokens, (0, 1))
        self._by_kind = tuple((TokenBucket(rate), weights) for rate, weights in kinds if rate)

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return self.controller.limit

    def wait_s(self, now: float, tokens: int, output: int = 0) -> float | None:
        """Seconds until such a call may start, 0 for now, None for: not before one ends."""
        if self.in_flight >= self.controller.limit:
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
        if self._requests is not None:
            self._requests.empty_until(until)
        for bucket, _ in self._by_kind:
            bucket.empty_until(until)

    def paused_until(self, now: float) -> float | None:
        """When the pause ends, or None where there is none."""
        return self._paused_until if self._paused_until > now else None

    def _next_opening(self, now: float, opened_at: float) -> float | None:
        """A call came through after a pause: when the next may, or None where the crowd is over."""
        turnover, limit = self._turnover.seconds or FIRST_TURNOVER_S, self.controller.limit
        if self.in_flight >= limit or now - opened_at > turnover:
            return None
        return now + turnover / (REOPENING_GAIN * limit)
