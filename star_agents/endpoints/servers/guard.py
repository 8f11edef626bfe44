"""A small process beside each server that outlives us by a moment, to take the server along.

Law: when this process has ended in whatever way, SIGKILL included, its server and all that the server started
are ended within seconds, and nothing that another process started is touched. A guard that is killed itself is
missed by nobody: the next start of the folder sweeps (`endpoints/servers/orphans.py`).
"""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from star_agents.endpoints.servers import orphans


class Guard:
    """Of one server. It learns of our end from a pipe that nobody but us holds open."""

    def __init__(self, run_dir: Path, server: str) -> None:
        self._run_dir = run_dir
        self._server = server
        self._process: Process | None = None

    async def open(self) -> None:
        """Start it, before there is anything to guard."""
        command = await asyncio.to_thread(orphans.guard_command, self._run_dir, self._server)
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, env={"PATH": os.defpath}, start_new_session=True
        )

    async def close(self) -> None:
        """Let it go, when the server has gone."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
            self._process = None
