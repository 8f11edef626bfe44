"""How late the event loop wakes who sleeps: the one figure that shows that something blocks it.

Law: a histogram over the whole start for Prometheus, percentiles over the last minute for people; both cost the same
however long the run.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from star_agents.core import clock

PROBE_S = 0.05
BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the histogram's buckets; the last one has none."""

KEPT = 1200
"""Probes that percentiles are over: a minute of them."""


@dataclass(frozen=True, slots=True)
class LoopLag:
    """Seconds by which the loop was late; percentiles are of the last minute, `buckets` count from the start."""

    p50_s: float
    p99_s: float
    max_s: float
    buckets: tuple[int, ...]
    sum_s: float


class LagProbe:
    """Sleeps and looks how late it woke; `beat` is called each time: the loop runs."""

    def __init__(self, beat: Callable[[], object] = lambda: None) -> None:
        self._beat = beat
        self._buckets = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._recent: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            wanted_at = clock.now() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self.note(max(0.0, clock.now() - wanted_at))
            self._beat()

    def note(self, late_s: float) -> None:
        """Count one probe."""
        self._buckets[bisect_left(BOUNDS_S, late_s)] += 1
        self._sum_s += late_s
        self._recent.append(late_s)

    def snapshot(self) -> LoopLag:
        """The figures now."""
        ordered = sorted(self._recent) or [0.0]
        last = len(ordered) - 1
        return LoopLag(
            p50_s=ordered[last // 2],
            p99_s=ordered[round(0.99 * last)],
            max_s=ordered[-1],
            buckets=tuple(self._buckets),
            sum_s=self._sum_s,
        )
