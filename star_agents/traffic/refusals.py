"""Telling one poison request from a template or a setting that no server will take.

Law: the watch speaks up only when more than `MAX_REFUSED` of the last requests were refused for what they say,
and never on fewer than `MIN_LOOKED_AT`.
"""

from collections import deque

LOOKED_AT = 100
MIN_LOOKED_AT = 20
MAX_REFUSED = 0.2


class RefusalWatch:
    """Looks back over the last `LOOKED_AT` finished requests of one endpoint."""

    __slots__ = ("_refused",)

    def __init__(self) -> None:
        self._refused: deque[bool] = deque(maxlen=LOOKED_AT)

    def note(self, *, is_refused: bool) -> bool:
        """Note one finished request; True where this refusal makes too many."""
        self._refused.append(is_refused)
        seen = len(self._refused)
        return is_refused and seen >= MIN_LOOKED_AT and sum(self._refused) > MAX_REFUSED * seen
