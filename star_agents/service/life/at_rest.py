"""The page of a run that nobody runs: the same service, over what lies in the run folder.

Laws: it looks and changes nothing (SQLite leaves an empty `-wal` and a `-shm` beside a store that is looked at), so it
may be open while the run is started again; then it goes, for its figures would be old. Every order to the run is
refused with the reason (`Control`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

from star_agents.core.errors import NotNowError
from star_agents.service.api.control import Control, Levers
from star_agents.service.api.server import Place, serve
from star_agents.service.run.address import Address, read_address
from star_agents.service.run.picture import resting_picture
from star_agents.service.run.timeline import TIMELINE_FILE, Sample, read_samples
from star_agents.service.view.status import Ending, RunStatus
from star_agents.storage.folder import RunFolder

LOOK_S = 1.0
"""How often the folder is looked at for a start of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Still:
    """What was read of a run at rest."""

    status: RunStatus
    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, folder: RunFolder) -> "_Still":
        status = resting_picture(folder)
        told = replace(status, message=how_it_stands(status.ending))
        return cls(status=told, samples=tuple(read_samples(folder.path / TIMELINE_FILE)))

    def timeline(self, after: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.number > after]


@asynccontextmanager
async def shown_at_rest(folder: RunFolder, *, port: int) -> AsyncIterator[Address]:
    """Serve the page on loopback until the block is left; port 0 is any free one.

    Raises:
        StoreError: the folder cannot be read.
        PortTakenError: another program listens there.
    """
    still = await asyncio.to_thread(_Still.read, folder)
    levers = Levers(
        status=lambda: still.status,
        engine=lambda: None,
        move=_refuse,
        health=_refuse,
        timeline=still.timeline,
        store=folder.database,
    )
    place = Place(
        host="127.0.0.1", port=port, run_dir=folder.path, metrics=False, is_announced=False, port_name="--port"
    )
    async with serve(place, Control(levers)) as address:
        yield address


async def until_started(folder: RunFolder, *, left_behind: Address | None) -> None:
    """Wait until a start of the run has left its address; `left_behind` is one that a killed start left."""
    while True:
        if await asyncio.to_thread(read_address, folder.path) not in {None, left_behind}:
            return
        await asyncio.sleep(LOOK_S)


def how_it_stands(ending: Ending | None) -> str:
    """One sentence for a person; a start that was killed left no ending."""
    if ending is Ending.COMPLETE:
        return "The run is complete; this is read from its folder."
    how = "the last start was killed" if ending is None else f"the last start ended: {ending}"
    return f"Read from the run folder; {how}. serve-run --resume goes on with it."


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotNowError("the run is not running")
