"""A service of a run that is on paper only: what it shows, a test sets; its rows are real ones in a real store."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import uvloop

from star_agents.core.records import PairWeights
from star_agents.core.secret import Mask
from star_agents.service.api.control import Control, Levers
from star_agents.service.api.server import Place, serve
from star_agents.service.life.vitals import Vitals
from star_agents.service.run.address import Address
from star_agents.service.run.engine import Engine
from star_agents.service.run.orders import Orders
from star_agents.service.run.timeline import TIMELINE_FILE, Timeline
from star_agents.service.view.status import Phase, RunStatus
from star_agents.storage.folder import RunFolder
from tests.fakes.store import MemoryStore
from tests.service.service_world import status
from tests.storage.examples import POOL

T = TypeVar("T")


class Theatre:
    """One run of `folder`, whose store is there; `shown` is its snapshot, and `moves` what somebody ordered."""

    def __init__(self, folder: Path) -> None:
        self.shown: RunStatus = replace(status(), weights_version=0)
        self.moves: list[Phase] = []
        self.folder = RunFolder(folder)
        self.timeline = Timeline(folder / TIMELINE_FILE)
        self.address: Address
        board = SimpleNamespace(weights=PairWeights(0, POOL, (0.5, 0.5)))
        orders = Orders(MemoryStore(), Mask())
        self._engine = cast(
            "Engine", SimpleNamespace(job=SimpleNamespace(folder=self.folder), board=board, orders=orders)
        )

    def move(self, phase: Phase) -> None:
        self.moves.append(phase)
        self.shown = replace(self.shown, phase=phase)

    def url(self, token: str | None = None) -> str:
        found = self.address.page(token=self.address.token if token is None else token)
        assert found is not None
        return found

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        levers = Levers(
            status=lambda: self.shown,
            engine=lambda: self._engine,
            move=self.move,
            health=Vitals(self.folder.path, {}).health,
            timeline=self.timeline.after,
        )
        place = Place(host="127.0.0.1", port=0, run_dir=self.folder.path)
        async with serve(place, Control(levers)) as self.address:
            yield


@contextmanager
def on_a_loop_of_its_own() -> Iterator["Loop"]:
    """A loop in a thread: the browser's driver has this one's."""
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


class Loop:
    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(main, self._loop).result(120)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def played(theatre: Theatre) -> Iterator[Theatre]:
    """Its service, as long as the block lasts."""
    with on_a_loop_of_its_own() as loop:
        opened = theatre.playing()
        loop.run(opened.__aenter__())
        try:
            yield theatre
        finally:
            loop.run(opened.__aexit__(None, None, None))
