"""The pulse of the process: measured as event-loop lag, watched for stalls, and told to systemd."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from star_agents.core import clock
from star_agents.service.life.notify import Notifier, watchdog_s
from star_agents.service.life.watchdog import Watchdog
from star_agents.service.view.loop_lag import LagProbe
from star_agents.service.view.metrics import Health

OVERRUN_S = 30.0
"""A drain that takes so much longer than it may is worth a look at every stack."""


class Vitals:
    """One for a start; `logs` is where stacks are written to."""

    def __init__(self, logs: Path, environ: Mapping[str, str], *, takes_signals: bool = True) -> None:
        self._takes_signals = takes_signals
        self.watchdog = Watchdog(logs)
        self.notifier = Notifier(environ)
        self.probe = LagProbe(self._beat)
        self._alive_every_s = watchdog_s(environ, os.getpid())
        self._told_at = float("-inf")

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Take the pulse while the block lasts; SIGUSR1 writes every stack down."""
        loop = asyncio.get_running_loop()
        if self._takes_signals:
            loop.add_signal_handler(signal.SIGUSR1, self.dump, "SIGUSR1")
        try:
            with self.watchdog.watching():
                async with asyncio.TaskGroup() as group:
                    probing = group.create_task(self.probe.run(), name="loop lag")
                    try:
                        yield
                    finally:
                        probing.cancel()
        finally:
            if self._takes_signals:
                loop.remove_signal_handler(signal.SIGUSR1)
            self.notifier.close()

    def dump(self, why: str) -> None:
        """Have every stack written down, by a thread."""
        asyncio.get_running_loop().run_in_executor(None, self.watchdog.dump, why)

    def health(self, *, wal_bytes: int) -> Health:
        """For the metrics page."""
        watchdog = self.watchdog
        return Health(lag=self.probe.snapshot(), stalls=watchdog.stalls, tasks=watchdog.tasks, wal_bytes=wal_bytes)

    def _beat(self) -> None:
        self.watchdog.beat()
        if self._alive_every_s is not None and clock.now() - self._told_at >= self._alive_every_s:
            self._told_at = clock.now()
            self.notifier.alive()
