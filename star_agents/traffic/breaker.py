"""Keeping calls away from a replica that does not answer.

Laws: a breaker opens after `OPEN_AFTER` failures in a row, or as many as there are calls out where those are more,
since a failure comes back at once and an answer takes its time: the first of a burst to end are the failed. While it
is open nothing is sent; when its time is up exactly one call goes out, the probe, and that one decides; one that is
held lets none through before its release; each opening that follows closely on the last is twice as long, up to
`MAX_OPEN_S`. Pure: time is an argument, and the caller says how each call ended.
"""

from enum import StrEnum

from star_agents.traffic.limits import TICK_S

OPEN_AFTER = 5
"""The least number of failures in a row that open a breaker."""
QUIET_S = 8.0
"""A replica that worked for so long is no longer on probation. One that is asked a few calls at once and fails one in
five opens by chance now and then: were each to lengthen the next, it would soon be left alone for minutes."""
FIRST_OPEN_S = 1.0
MAX_OPEN_S = 300.0
"""The shortest and the longest time a breaker stays open before it lets a probe through."""


class State(StrEnum):
    """A breaker's state, in the usual words."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """The breaker of one replica."""

    __slots__ = (
        "_failures",
        "_has_probe_out",
        "_is_held",
        "_open_s",
        "_opened_at",
        "closed_at",
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
        self.closed_at = float("-inf")
        """When it closed last, after an outage."""
        self._has_probe_out = False
        self._is_held = False

    def wait_s(self, now: float) -> float | None:
        """Seconds until a call may go out, 0 for now, None for: not before the probe comes back, or the `release`."""
        if self.state is State.CLOSED:
            return 0.0
        if self._has_probe_out or self._is_held:
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
        if self._is_held or (self.state is not State.CLOSED and not is_probe):
            return
        if self.state is not State.CLOSED:
            self.closed_at = now
        self.state, self._has_probe_out, self._failures = State.CLOSED, False, 0
        self.is_fatal, self.down_since = False, None

    def fail(self, now: float, *, is_probe: bool, is_fatal: bool = False, num_out: int = 1) -> None:
        """The replica did not answer, or (`is_fatal`) answered that it never will; `num_out` calls are out to it."""
        if self._is_held or (self.state is not State.CLOSED and not is_probe):
            return
        self._failures += 1
        if is_probe or is_fatal or self._failures >= max(OPEN_AFTER, num_out):
            self._open(now, is_fatal=is_fatal)

    def hold(self, now: float) -> None:
        """Somebody who knows better takes it out of use, until `release`."""
        self._is_held = True
        self._open(now, is_fatal=False)

    def release(self) -> None:
        """It works again, and what was thought of it before counts no more."""
        self.state, self._has_probe_out, self._failures, self._open_s = State.CLOSED, False, 0, 0.0
        self._is_held, self.is_fatal, self.down_since = False, False, None

    def abandon_probe(self) -> None:
        """The probe was cancelled before it told anything: the next call may be the probe."""
        self._has_probe_out = False

    def _open(self, now: float, *, is_fatal: bool) -> None:
        was_quiet = self.state is State.CLOSED and now - self.closed_at > min(2 * self._open_s, QUIET_S)
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
