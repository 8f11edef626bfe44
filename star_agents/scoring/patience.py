"""How long a worker may take before it counts as stuck: in proportion to the request, and to what was usual.

A slow worker must never be taken for a stuck one, for it would be killed, replayed and killed again. So the bound is
far above what was ever needed, and doubles with every death of the same request. Pure: sizes and seconds in.
"""

FLOOR_S = 120.0
"""Whatever the size: a device that is shared or warms up owes nobody more."""

FACTOR = 20.0
"""Times the usual."""

UNKNOWN_S_PER_BYTE = 0.1
"""Before the first reply: two or three tokens a second, slower than any machine that one would score on."""

_MEMORY = 0.9
"""How much of the slowest pace so far is still believed after the next reply."""


class Patience:
    """The bound for one worker's requests, learnt from its replies."""

    def __init__(self) -> None:
        self._s_per_byte: float | None = None

    def note(self, num_bytes: int, seconds: float) -> None:
        """A request of so many bytes was answered in so long."""
        pace = seconds / max(1, num_bytes)
        before = pace if self._s_per_byte is None else self._s_per_byte
        self._s_per_byte = max(pace, _MEMORY * before + (1 - _MEMORY) * pace)

    def bound_s(self, num_bytes: int, num_deaths: int = 0) -> float:
        """Seconds that a request may take which has cost `num_deaths` workers before."""
        usual = UNKNOWN_S_PER_BYTE if self._s_per_byte is None else FACTOR * self._s_per_byte
        return float((FLOOR_S + usual * num_bytes) * 2**num_deaths)
