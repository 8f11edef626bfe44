"""How long to wait for the first byte of an answer, or for the next: from how long it has taken of late.

Laws: the deadline is `FACTOR` times the 99th percentile of the latest waits, at least the floor and at most the
ceiling; a wait that was cut off counts as long as it lasted, so a deadline that has become too short grows. Before
the first wait it is the ceiling: nothing is known, and a first answer may need a model to be loaded.
"""

from collections import deque

KEPT = 512
"""Waits looked back on."""
SHARE = 0.99
FACTOR = 3.0
FLOOR_S = 60.0
LOOKED_AT_EVERY = 32
"""Sorting is for every so many waits, not for each."""


class AdaptiveDeadline:
    """The deadline of one endpoint, in seconds; `after_s` is the present one."""

    __slots__ = ("_ceiling_s", "_floor_s", "_new", "_waits", "after_s")

    def __init__(self, ceiling_s: float, *, floor_s: float = FLOOR_S) -> None:
        self._ceiling_s = ceiling_s
        self._floor_s = min(floor_s, ceiling_s)
        self._waits: deque[float] = deque(maxlen=KEPT)
        self._new = 0
        self.after_s = ceiling_s

    def note(self, waited_s: float) -> None:
        """What was waited for came after so long, or was given up."""
        self._waits.append(waited_s)
        self._new += 1
        if self._new >= LOOKED_AT_EVERY or waited_s >= self.after_s:
            self._new = 0
            ordered = sorted(self._waits)
            usual = ordered[min(len(ordered) - 1, int(SHARE * len(ordered)))]
            self.after_s = min(max(FACTOR * usual, self._floor_s), self._ceiling_s)

    def __repr__(self) -> str:
        return f"<AdaptiveDeadline {self.after_s:.1f} s>"
