"""Which replica gets the next call, and whether any does.

Laws of the breaker: it opens after `OPEN_AFTER` failures in a row; while it is open nothing is sent; when its
time is up exactly one call goes out, the probe, and that one decides; each opening that follows closely on
the last is twice as long, up to `MAX_OPEN_S`. Of the replicas that may be sent to, a due probe comes first,
then the one with the fewest calls out. Pure: time is an argument, and the caller says how each call ended.
"""

from dataclasses import dataclass
from enum import StrEnum

from star_agents.traffic.limits import TICK_S

OPEN_AFTER = 5
"""Failures in a row that open a breaker."""
FIRST_OPEN_S = 1.0
MAX_OPEN_S = 300.0
"""The shortest and the longest time a breaker stays open before it lets a probe through."""


class State(StrEnum):
    """A breaker's state, in the usual words."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Keeps calls away from a replica that does not answer."""

    __slots__ = (
        "_closed_at",
        "_failures",
        "_has_probe_out",
        "_open_s",
        "_opened_at",
        "down_since",
        "is_fatal",
        "state",
    )

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.is_fatal = False
        """Open for a reason that waiting is not known to mend: a key, a quota, a wrong address."""
        self.down_since: float | None = None
        """When the outage began that has not ended; None while the replica works."""
        self._failures = 0
        self._open_s = 0.0
        self._opened_at = 0.0
        self._closed_at = 0.0
        self._has_probe_out = False

    def wait_s(self, now: float) -> float | None:
        """Seconds until a call may go out, 0 for now, None for: not before the probe comes back."""
        if self.state is State.CLOSED:
            return 0.0
        if self._has_probe_out:
            return None
        wait = self._opened_at + self._open_s - now
        return wait if wait > TICK_S else 0.0

    def start(self) -> bool:
        """Count a call out, having asked `wait_s`; True where this one is the probe."""
        if self.state is State.CLOSED:
            return False
        self.state, self._has_probe_out = State.HALF_OPEN, True
        return True

    def succeed(self, now: float, *, is_probe: bool) -> None:
        """The replica answered. A straggler sent before the breaker opened proves nothing and closes nothing."""
        if self.state is not State.CLOSED and not is_probe:
            return
        if self.state is not State.CLOSED:
            self._closed_at = now
        self.state, self._has_probe_out, self._failures = State.CLOSED, False, 0
        self.is_fatal, self.down_since = False, None

    def fail(self, now: float, *, is_probe: bool, is_fatal: bool = False) -> None:
        """The replica did not answer, or (`is_fatal`) answered that it never will."""
        if self.state is not State.CLOSED and not is_probe:
            return
        self._failures += 1
        if is_probe or is_fatal or self._failures >= OPEN_AFTER:
            self._open(now, is_fatal=is_fatal)

    def abandon_probe(self) -> None:
        """The probe was cancelled before it told anything: the next call may be the probe."""
        self._has_probe_out = False

    def _open(self, now: float, *, is_fatal: bool) -> None:
        was_quiet = self.state is State.CLOSED and now - self._closed_at > 2 * self._open_s
        if is_fatal:
            self._open_s = MAX_OPEN_S
        elif was_quiet or not self._open_s:
            self._open_s = FIRST_OPEN_S
        else:
            self._open_s = min(2 * self._open_s, MAX_OPEN_S)
        if self.down_since is None:
            self.down_since = now
        self.state, self.is_fatal = State.OPEN, is_fatal
        self._opened_at, self._has_probe_out, self._failures = now, False, 0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes. The caller hands it back with the outcome, exactly once."""

    replica: int
    is_probe: bool


class Router:
    """Spreads calls over the replicas of one endpoint."""

    __slots__ = ("_next", "breakers", "in_flight")

    def __init__(self, num_replicas: int) -> None:
        self.breakers = tuple(Breaker() for _ in range(num_replicas))
        self.in_flight = [0] * num_replicas
        self._next = 0

    def wait_s(self, now: float) -> float | None:
        """Seconds until some replica takes a call, 0 for now, None for: not before a probe comes back."""
        waits = [wait for breaker in self.breakers if (wait := breaker.wait_s(now)) is not None]
        return min(waits, default=None)

    def start(self, now: float, *, avoid: int | None = None) -> Route:
        """Choose a replica and count the call out; `avoid` is the one that has just failed it.

        Raises:
            ValueError: no replica takes a call now.
        """
        ready = [index for index, breaker in enumerate(self.breakers) if breaker.wait_s(now) == 0.0]
        chosen = min(ready, key=lambda index: self._rank(index, avoid))
        self._next = chosen + 1
        self.in_flight[chosen] += 1
        return Route(chosen, self.breakers[chosen].start())

    def end(self, route: Route) -> None:
        """Count the call in again, however it ended."""
        self.in_flight[route.replica] -= 1

    def has_working(self, *, besides: int) -> bool:
        """True where another replica than this one is in use."""
        return any(breaker.state is State.CLOSED for i, breaker in enumerate(self.breakers) if i != besides)

    def num_open(self) -> int:
        """Replicas that do not work, as far as is known."""
        return sum(breaker.state is not State.CLOSED for breaker in self.breakers)

    def is_down(self) -> bool:
        """True where that is all of them."""
        return self.num_open() == len(self.breakers)

    def down_for_s(self, now: float) -> float:
        """How long no replica has worked; 0 while one does."""
        times = [breaker.down_since for breaker in self.breakers if breaker.down_since is not None]
        return now - max(times) if len(times) == len(self.breakers) else 0.0

    def is_fatal(self) -> bool:
        """True where no replica will be of use before somebody mends something."""
        return all(breaker.is_fatal for breaker in self.breakers)

    def _rank(self, index: int, avoid: int | None) -> tuple[bool, bool, int, int]:
        is_closed = self.breakers[index].state is State.CLOSED
        turn = (index - self._next) % len(self.breakers)
        return index == avoid, is_closed, self.in_flight[index], turn
