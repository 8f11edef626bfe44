"""Orders over the wire: by which door they came is on record, and one that is sent twice under a key is done once."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from star_agents.client.connection import ask
from star_agents.core.secret import Mask
from star_agents.service.api.control import Control, Levers
from star_agents.service.api.server import Place, serve
from star_agents.service.life.vitals import Vitals
from star_agents.service.run.address import Address
from star_agents.service.run.orders import Orders
from star_agents.service.view.status import Phase
from star_agents.storage import moving
from star_agents.storage.commands import Outcome
from star_agents.storage.folder import RunFolder
from tests.fakes.store import MemoryStore
from tests.loops import run_real
from tests.service.service_world import status
from tests.storage.test_lost import HOT, NUM_FINISHED, SHARD, file_of, gone, made

pytestmark = pytest.mark.fault("F-89")


@dataclass
class Steered:
    """A run that can be paused, and its orders."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    phase: Phase = Phase.RUNNING
    moves: list[Phase] = field(default_factory=list)

    def move(self, phase: Phase) -> None:
        self.phase = phase
        self.moves.append(phase)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Address]:
        engine: Any = SimpleNamespace(
            orders=Orders(self.store, Mask()),
            job=SimpleNamespace(folder=RunFolder(self.folder)),
            board=SimpleNamespace(weights=SimpleNamespace(version=0)),
        )
        levers = Levers(
            status=lambda: status(self.phase),
            engine=lambda: engine,
            move=self.move,
            health=Vitals(self.folder, {}).health,
        )
        async with serve(Place(host="127.0.0.1", port=0, run_dir=self.folder), Control(levers)) as address:
            yield address


async def order(address: Address, verb: str, key: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {address.token}"} | ({} if key is None else {"Idempotency-Key": key})
    async with (
        aiohttp.ClientSession() as session,
        session.post(address.url(f"/api/v1/{verb}"), headers=headers) as reply,
    ):
        return reply.status, await reply.json(content_type=None)


@pytest.mark.parametrize("factory", [None, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_the_door_is_on_record(factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    """At the socket the kernel names the user, at the port only the token is known; neither names the token itself."""

    async def main(folder: Path) -> None:
        run = Steered(folder)
        async with run.served() as address:
            assert address.socket is not None
            await asyncio.to_thread(ask, address, "POST", "/api/v1/pause")
            await asyncio.to_thread(ask, replace(address, socket=None), "POST", "/api/v1/resume")
            told = [(one.verb, one.actor, one.outcome) for one in run.store.commands.values()]
            assert told == [
                ("pause", f"socket:uid={os.getuid()}:token", Outcome.DONE),
                ("resume", "port:token", Outcome.DONE),
            ]

    with TemporaryDirectory() as folder:  # short: a socket's path may not be long
        run_real(main(Path(folder)), factory=factory)


def test_an_order_sent_twice_under_a_key_is_done_once(tmp_path: Path) -> None:
    """Answered both times with what the first came to; a key that is none, or was another order's, is refused."""

    async def main() -> None:
        run = Steered(tmp_path)
        async with run.served() as address:
            assert await order(address, "pause", "once") == (200, {"phase": "paused"})
            assert await order(address, "resume") == (200, {"phase": "running"})
            assert await order(address, "pause", "once") == (200, {"phase": "paused"})
            assert run.moves == [Phase.PAUSED, Phase.RUNNING]
            code, told = await order(address, "resume", "once")
            assert (code, told["problems"]) == (
                422,
                ["Idempotency-Key: order 1 had it and was another (pause); take a new one"],
            )
            for key in ("", "two words", "x" * 129, "\u00fc"):
                assert (await order(address, "pause", key))[0] == 422
            assert await order(address, "drain") == (202, {"phase": "draining"})
            assert (await order(address, "pause"))[0] == 409
        assert [one.verb for one in run.store.commands.values()] == ["pause", "resume", "drain"]

    run_real(main())


@pytest.mark.fault("F-77")
def test_f77_rows_whose_file_is_lost_are_told_as_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-77: a tail that comes to them, or a page: 410 with file, rows and mend, and none is passed over in silence."""
    monkeypatch.setattr(moving, "SHARD_ROWS", SHARD)
    monkeypatch.setattr(moving, "HOT_ROWS", HOT)

    async def main() -> None:
        await made(tmp_path / "run.db")
        await asyncio.to_thread(gone, file_of(tmp_path / "run.db", 1, "rows"))
        run = Steered(tmp_path)
        async with run.served() as address, aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {address.read_token}"}

            async def asked(path: str) -> tuple[int, bytes]:
                async with session.get(address.url(f"/api/v1/{path}"), headers=headers) as reply:
                    return reply.status, await reply.read()

            for path in ("rows?after=5", "rows/page?first=7", "rows/8"):
                status, content = await asked(path)
                assert (status, b"rows 6 to 10 (of seeds 5 to 9), 5 in all, are lost" in content) == (410, True), path
            status, content = await asked("rows?after=10")
            assert (status, content.count(b'"seq"')) == (200, NUM_FINISHED - 10)

    run_real(main())
