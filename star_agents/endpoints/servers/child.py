"""One child process in a session of its own, marked, with a log file and a pidfile.

Law: when `stop` has returned, no process that descends from the child is left, whatever it did with its own
children. Its output goes to a file: a full pipe would stop it (vLLM writes more than a pipe holds).
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from star_agents.endpoints.servers import orphans
from star_agents.endpoints.servers.logfile import ServerLog


class Child:
    """A server's process, known by its run and its name; spawned any number of times, one at a time."""

    def __init__(self, name: str, run_dir: Path) -> None:
        self.log = ServerLog(run_dir / "logs" / f"server-{name}.log")
        self._name = name
        self._run_dir = run_dir
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        """True from the spawning until the process has ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Of the process that runs; its process group has the same number."""
        return self._process.pid if self._process is not None and self.is_running else None

    async def clear(self) -> None:
        """End what an earlier run of the same folder left under this name."""
        await asyncio.to_thread(orphans.sweep, self._run_dir, self._name)

    async def spawn(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start the process, with this environment and the mark and nothing else.

        Raises:
            OSError: there is no such program.
        """
        output, mark = await asyncio.to_thread(lambda: (self.log.open(), orphans.mark(self._run_dir, self._name)))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *arguments, stdin=DEVNULL, stdout=output, stderr=output, env={**environ, **mark}, start_new_session=True
            )
        finally:
            os.close(output)
        pidfile = orphans.pidfile(self._run_dir, self._name)
        await asyncio.to_thread(orphans.write_pidfile, pidfile, self._process.pid)

    async def wait(self) -> int:
        """Wait until the process ends, and return its exit code.

        Raises:
            RuntimeError: it was never spawned.
        """
        if self._process is None:
            raise RuntimeError(f"{self._name} was never spawned")
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Ask the process group to end, wait `grace_s`, and kill what is left of it and of its descendants."""
        if self._process is None:
            return
        try:
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
        finally:
            self.kill()
            await asyncio.to_thread(orphans.sweep, self._run_dir, self._name, grace_s=0.0)
        await self._process.wait()

    def kill(self) -> None:
        """Kill the process group, without waiting."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group while its leader is not reaped: until then its number belongs to nobody else."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
