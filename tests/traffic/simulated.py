"""A crowd of clients in front of a pacer, as events on a clock that is a number; the servers are in `servers`.

No event loop: what is under test are pure state machines, so a simulated hour takes a second.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol

from star_agents.traffic.pacing import Pacer
from star_agents.traffic.retry import PAUSE_S, PAUSE_SPREAD, full_jitter


class World:
    """Time, and what is going to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def run_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end


@dataclass(frozen=True, slots=True)
class Served:
    """A call came through and wrote so many tokens."""

    output_tokens: int


@dataclass(frozen=True, slots=True)
class Limited:
    """429; the server may say when to come back."""

    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """503."""


Outcome = Served | Limited | Failed
Done = Callable[[Outcome], None]


class Server(Protocol):
    def take(self, world: World, call: "Call", done: Done) -> None: ...


@dataclass(slots=True)
class Call:
    """One call of the crowd."""

    input_tokens: int
    output_tokens: int
    sent_at: float = 0.0
    limited: int = 0


@dataclass(slots=True)
class Crowd:
    """A backlog that never ends, or calls that come at a rate; and what became of them."""

    world: World
    pacer: Pacer
    server: Server
    rng: Random = field(default_factory=lambda: Random(7))
    offered_per_s: float | None = None
    input_tokens: int = 0
    output_tokens: Callable[[Random], int] = lambda _rng: 100
    sends: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    served: list[tuple[float, int]] = field(default_factory=list)
    waiting: list[Call] = field(default_factory=list)
    _timer_at: float = float("inf")

    def begin(self) -> None:
        if self.offered_per_s is not None:
            self._arrive()
        self._pump()

    def _arrive(self) -> None:
        self.waiting.append(self._new())
        self.world.at(self.world.now + self.rng.expovariate(self.offered_per_s or 1.0), self._arrive)
        self._pump()

    def _new(self) -> Call:
        return Call(self.input_tokens, self.output_tokens(self.rng))

    def _pump(self) -> None:
        while self.waiting or self.offered_per_s is None:
            if not self.waiting:
                self.waiting.append(self._new())
            call, now = self.waiting[-1], self.world.now
            tokens = call.input_tokens + call.output_tokens
            wait = self.pacer.wait_s(now, tokens, call.output_tokens)
            if wait is None:
                assert self.pacer.in_flight >= 1, "nothing may start and nothing is out: stuck for ever"
                return
            if wait > 0.0:
                self._wake_at(now + wait)
                return
            self.waiting.pop()
            self._send(call, tokens)

    def _wake_at(self, when: float) -> None:
        if when < self._timer_at:
            self._timer_at = when
            self.world.at(when, self._wake)

    def _wake(self) -> None:
        self._timer_at = float("inf")
        self._pump()

    def _send(self, call: Call, tokens: int) -> None:
        call.sent_at = self.world.now
        self.pacer.start(call.sent_at, tokens, call.output_tokens)
        self.sends.append(call.sent_at)
        self.server.take(self.world, call, lambda outcome: self._ended(call, outcome))

    def _ended(self, call: Call, outcome: Outcome) -> None:
        now = self.world.now
        used = None
        if isinstance(outcome, Served):
            self.pacer.succeeded(now, call.sent_at, outcome.output_tokens)
            self.served.append((now, outcome.output_tokens))
            used = call.input_tokens + outcome.output_tokens
        elif isinstance(outcome, Limited):
            self.pacer.limited(now, call.sent_at, self._pause_s(call, outcome))
            self.refused.append(now)
            call.limited += 1
            self.waiting.append(call)
        else:
            self.pacer.overloaded(now, call.sent_at)
            self.waiting.append(call)
        tokens = call.input_tokens + call.output_tokens
        self.pacer.end(now, tokens, used, call.output_tokens, call.output_tokens)
        self._pump()

    def _pause_s(self, call: Call, outcome: Limited) -> float:
        if outcome.retry_after_s is None:
            return full_jitter(PAUSE_S, call.limited, self.rng.random())
        return outcome.retry_after_s * (1 + PAUSE_SPREAD * self.rng.random())

    def rate(self, since: float, until: float) -> float:
        """Calls served per second."""
        return sum(since < at <= until for at, _ in self.served) / (until - since)

    def tokens_rate(self, since: float, until: float) -> float:
        return sum(tokens for at, tokens in self.served if since < at <= until) / (until - since)

    def sent_rate(self, since: float, until: float) -> float:
        return sum(since < at <= until for at in self.sends) / (until - since)
