"""The limit that was set and does not learn."""

from star_agents.traffic.control import Cap


class Fixed(Cap):
    """As many calls in flight as the config says, whatever comes back."""

    __slots__ = ()

    def __init__(self, limit: int) -> None:
        super().__init__(limit, ceiling=limit)

    def bound(self, now: float, ceiling: int) -> None:
        """See `Controller`: the limit is its ceiling."""
        super().bound(now, ceiling)
        self._move(now, ceiling, self._reason)
