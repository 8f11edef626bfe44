"""What stands behind all connections of a server: its script, its engine with the timer that drives it, its books.

Law: the timer is set whenever a job is in the engine, at the latest for when the next one is done.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from star_agents.core import clock
from star_agents.mock.conduct import Conduct
from star_agents.mock.engine import Engine, Job, Slots
from star_agents.mock.journal import Journal
from star_agents.mock.limits import Gate
from star_agents.mock.metrics import Latencies
from star_agents.mock.script import Script
from star_agents.mock.stats import Stats

TIMER_SLACK_S = 0.0005
"""uvloop's timers count in milliseconds: what is due within half of one is due."""


@dataclass(slots=True)
class Backend:
    """Made when the server begins to listen, on the running loop."""

    conduct: Conduct
    script: Script
    journal: Journal
    take_break: Callable[[float], None]
    """Called to stop listening for so many seconds."""
    engine: Engine = field(init=False)
    gate: Gate | None = field(init=False)
    stats: Stats = field(default_factory=Stats)
    latencies: Latencies = field(default_factory=Latencies)
    last_body: Mapping[str, Any] | None = None
    """The request before, for answers that go to the wrong one."""
    started_at: float = field(default_factory=clock.now)
    _timer: asyncio.TimerHandle | None = None
    _timer_at: float = 0.0
    """uvloop's handles do not tell."""
    _done: dict[Job, Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        conduct = self.conduct
        model = Slots(limit=conduct.slots) if conduct.batching is None else conduct.batching
        self.engine = model.engine()
        self.gate = None if conduct.limits is None else Gate(conduct.limits)
        self.stats.settle(self.started_at)

    def submit(self, job: Job, done: Callable[[], None]) -> bool:
        """Take a job and call `done` when its time has come; True, and no call, where that is at once."""
        if self.engine.submit(clock.now(), job):
            return True
        self._done[job] = done
        self._set_timer()
        return False

    def drop(self, job: Job) -> None:
        """Forget a job, if it is still there."""
        if self._done.pop(job, None) is not None:
            self.engine.drop(clock.now(), job)
            self._set_timer()

    def scale(self, factor: float) -> None:
        """From now on the server can do so much of what it could at first."""
        now = clock.now()
        self.engine.scale(now, factor)
        if self.gate is not None:
            self.gate.scale(now, factor)
        self._set_timer()

    def close(self) -> None:
        """No more is done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._done.clear()

    def _set_timer(self) -> None:
        at = self.engine.next_at()
        if at is None or (self._timer is not None and self._timer_at <= at):
            return  # a timer that is early looks, and sets itself again
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for job in self.engine.advance(clock.now() + TIMER_SLACK_S):
            if done := self._done.pop(job, None):
                done()
        self._set_timer()
