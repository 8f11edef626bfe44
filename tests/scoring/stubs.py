"""Pools of workers that have the real plumbing and no model (`stub_worker`), and what their notes say."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings

STUB = (sys.executable, "-m", "tests.scoring.stub_worker")
PLANTED = (sys.executable, "-m", "tests.scoring.planted_worker")


def pool(
    notes: Path,
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    **settings: Any,  # noqa: ANN401  # of many types
) -> ScorerPool:
    """A pool whose workers note what they do in `notes`; `settings` are of `ScoringSettings`."""
    chosen = ScoringSettings(small=str(notes), device="stub", start_timeout_s=30.0)
    return ScorerPool(
        replace(chosen, **settings), log_dir=notes / "logs", folder=folder, environ=environ or {}, command=STUB
    )


def asked(notes: Path, name: str = "asked") -> list[str]:
    """The responses scored so far, or what else the workers have noted."""
    file = notes / name
    return file.read_text().splitlines() if file.exists() else []


def pids(notes: Path) -> list[int]:
    """The workers started so far."""
    return [int(line.split()[0]) for line in asked(notes, "started")]


async def appears(path: Path) -> None:
    """Wait until another process has made a file."""
    await until(path.exists)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does; the condition may block."""
    while not await asyncio.to_thread(holds):  # noqa: ASYNC110  # another process brings it about
        await asyncio.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
