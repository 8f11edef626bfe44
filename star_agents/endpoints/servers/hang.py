"""When a server that accepts calls is suspected to answer none. Pure: time is an argument.

Laws: silence is counted from the last answer, or from the first call after it, and only an answer ends it, so
calls that run into their own deadlines do not hide a dead engine; silence alone never condemns a server, it
only asks for a canary (`endpoints/servers/canary.py`). `/health` is not looked at: a stopped engine leaves it at 200.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HangOptions:
    """With the defaults a hang is found within 60 + 20 s, and the time between two looks."""

    silence_s: tuple[float, float] = (15.0, 60.0)
    """Least and greatest silence that is suspicious; the greatest while nothing is known."""
    gap_factor: float = 4.0
    """In between: so many times the longest gap between answers of late."""
    canary_s: float = 20.0
    """Deadline of a canary."""


FORGET = 0.98
"""What is left of the longest gap with every look that saw an answer."""


class HangWatch:
    """Watches one server; look at it about once a second."""

    __slots__ = ("_last_answer_at", "_longest_gap_s", "_options", "_silent_since")

    def __init__(self, options: HangOptions) -> None:
        self._options = options
        self._last_answer_at: float | None = None
        self._silent_since: float | None = None
        self._longest_gap_s: float | None = None

    @property
    def limit_s(self) -> float:
        """The silence that is suspicious now."""
        least, greatest = self._options.silence_s
        if self._longest_gap_s is None:
            return greatest
        return min(max(self._options.gap_factor * self._longest_gap_s, least), greatest)

    def is_suspect(self, now: float, *, in_flight: int, last_answer_at: float | None) -> bool:
        """True where a canary should be sent. `last_answer_at` is on the same clock as `now`."""
        if last_answer_at is not None and last_answer_at != self._last_answer_at:
            self._note_answer(last_answer_at, is_busy=in_flight > 0)
        elif in_flight and self._silent_since is None:
            self._silent_since = now
        return self._silent_since is not None and now - self._silent_since >= self.limit_s

    def passed(self) -> None:
        """The server was seen to live: count anew from the next look."""
        self._silent_since = None

    def _note_answer(self, at: float, *, is_busy: bool) -> None:
        if self._silent_since is not None:
            gap = max(0.0, at - self._silent_since)
            self._longest_gap_s = max(gap, FORGET * (self._longest_gap_s or 0.0))
        self._last_answer_at = at
        self._silent_since = at if is_busy else None
