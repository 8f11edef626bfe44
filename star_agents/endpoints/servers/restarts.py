"""Whether a server that crashed is started again, and when. Pure: time and chance are arguments.

Law: of `max_crashes` crashes in a row, none of them after `good_s` of service, the last is final. Time spent
loading counts for nothing, so a model that loads for ten minutes has as many tries as one that loads for ten
seconds; and a server that is up for most of the time is never given up.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOptions:
    """When to stop believing in a server."""

    max_crashes: int = 5
    good_s: float = 600.0
    """Service after which earlier crashes are forgiven."""
    backoff_s: tuple[float, float] = (1.0, 60.0)
    """First and greatest ceiling of the wait, which doubles in between; the wait is uniform below it."""


class Restarts:
    """The circuit of one server, by its crash rate."""

    __slots__ = ("_options", "_up_since", "crashes")

    def __init__(self, options: RestartOptions) -> None:
        self.crashes = 0
        """In a row, none forgiven."""
        self._options = options
        self._up_since: float | None = None

    def came_up(self, now: float) -> None:
        """It answers."""
        self._up_since = now

    def crashed(self, now: float, jitter: float) -> float | None:
        """Seconds until the next start, `jitter` being uniform in [0, 1); None: give it up.

        Full jitter, as in Brooker, "Exponential backoff and jitter" (AWS, 2015).
        """
        if self._up_since is not None and now - self._up_since >= self._options.good_s:
            self.crashes = 0
        self._up_since = None
        self.crashes += 1
        if self.crashes >= self._options.max_crashes:
            return None
        first, greatest = self._options.backoff_s
        return jitter * min(greatest, first * 2.0 ** (self.crashes - 1))
