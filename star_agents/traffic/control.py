"""A controller owns one number, the calls that may be in flight at once, and learns it from what comes back.

Laws of every controller: the limit is a whole number from its floor, which is at least 1, to its ceiling, so there
is always room for a call or one is out; each call of its methods costs the same few hundred nanoseconds however long
the run; it is told the time and never asks. What it learns from is in the modules beside this one: `fixed`, `aimd`
(rate limits), `knee` (a vLLM server's own figures) and `gradient` (nothing but how long the answers took).
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

CHANGES_KEPT = 64
"""Changes of a limit that are remembered for the status page."""


class Controller(Protocol):
    """What a `Pacer` asks of whoever owns its limit. Times are the loop's, in seconds."""

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        ...

    @property
    def ceiling(self) -> int:
        """The limit is never above it."""
        ...

    def on_start(self, now: float, in_flight: int) -> None:
        """A call went out; `in_flight` counts it."""
        ...

    def on_success(self, now: float, sent_at: float, in_flight: int, output_tokens: int) -> None:
        """A call sent at `sent_at` was answered with so many tokens; `in_flight` still counts it."""
        ...

    def on_limited(self, now: float, sent_at: float) -> None:
        """A call was turned away by a rate limit (429)."""
        ...

    def on_overload(self, now: float, sent_at: float) -> None:
        """A call failed because the server could not serve it (503, 529, a deadline)."""
        ...

    def bound(self, now: float, ceiling: int) -> None:
        """The limit goes no higher than `ceiling`, at least 1, from now on."""
        ...

    def reason(self) -> str:
        """Why the limit is what it is, in a few words for a person."""
        ...

    def changes(self) -> tuple["Change", ...]:
        """The latest changes of the limit, oldest first; growth for one reason is one change."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """The limit became `limit` at `at`, on the loop's clock, because of `reason`."""

    at: float
    limit: int
    reason: str


class Cap:
    """The number itself, kept within its bounds, with why it changed. Controllers are built on it.

    As it stands it never changes and takes no notice of anything.
    """

    __slots__ = ("_changes", "_exact", "_reason", "ceiling", "floor", "limit")

    def __init__(self, start: float, *, ceiling: int, floor: int = 1, reason: str = "as configured") -> None:
        if not 1 <= floor <= ceiling:
            raise ValueError(f"a limit goes from at least 1 up to its ceiling, not from {floor} to {ceiling}")
        self.floor = floor
        self.ceiling = ceiling
        self._exact = float(min(max(start, floor), ceiling))
        self.limit = int(self._exact)
        self._reason = reason
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)

    def on_start(self, now: float, in_flight: int) -> None:
        """See `Controller`."""

    def on_success(self, now: float, sent_at: float, in_flight: int, output_tokens: int) -> None:
        """See `Controller`."""

    def on_limited(self, now: float, sent_at: float) -> None:
        """See `Controller`."""

    def on_overload(self, now: float, sent_at: float) -> None:
        """See `Controller`."""

    def bound(self, now: float, ceiling: int) -> None:
        """See `Controller`. A limit above it comes down at once; one below goes on from where it is."""
        if ceiling < 1:
            raise ValueError(f"a ceiling is at least 1, not {ceiling}")
        self.ceiling, self.floor = ceiling, min(self.floor, ceiling)
        self._move(now, self._exact, self._reason)

    def reason(self) -> str:
        """See `Controller`."""
        return self._reason

    def changes(self) -> tuple[Change, ...]:
        """See `Controller`."""
        return tuple(self._changes)

    def _move(self, now: float, wanted: float, reason: str) -> None:
        """Make the limit the wanted one, or the nearest within its bounds."""
        self._exact = wanted = min(max(wanted, self.floor), self.ceiling)
        limit = int(wanted)
        if limit == self.limit and reason == self._reason:
            return
        is_same_growth = bool(self._changes) and reason == self._reason and limit > self.limit
        if is_same_growth:
            self._changes.pop()
        self.limit, self._reason = limit, reason
        self._changes.append(Change(now, limit, reason))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.limit} ({self._reason})>"


class Turnover:
    """The mean time that a call takes, in seconds: even over the first calls, then weighted to the last few hundred."""

    __slots__ = ("_count", "seconds")

    MEMORY = 200

    def __init__(self) -> None:
        self.seconds = 0.0
        """0 before the first call."""
        self._count = 0

    def note(self, seconds: float) -> None:
        """A call took so long."""
        count = self._count
        if count < self.MEMORY:
            self._count = count = count + 1
        self.seconds += (seconds - self.seconds) / count
