import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest

from star_agents.core.errors import PortTakenError
from star_agents.core.records import RowSource
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import Channel
from star_agents.scoring.crew import CrewState
from star_agents.scoring.pool import PoolStatus
from star_agents.service.address import ADDRESS_FILE, Address, read_address
from star_agents.service.api import Place, serve
from star_agents.service.bill import bill, budget_status
from star_agents.service.control import Control, Levers
from star_agents.service.status import LastRow, PairStatus, Phase, RunStatus
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.budget import Budget
from tests.loops import run_real


def status(phase: Phase = Phase.RUNNING) -> RunStatus:
    """A snapshot with something of every kind in it."""
    return RunStatus(
        "test",
        phase,
        "",
        1.0,
        seeds_total=3,
        seeds_done=1,
        channels=(Channel[int]("plans", 1).statistics(),),
        endpoints=(EndpointStatus(name="e", state="ok", failures=MappingProxyType({"timeout": 1})),),
        scorer=PoolStatus(CrewState.READY, 1, 0, 0, 0, 5, 50, 10.0),
        pairs=(PairStatus("keep+a", False, 2, 1, 0.5, 0.5, 0.75),),
        events={"row.base": 1},
        bill=bill({Account("e", "a", "keep+a", "respond"): Spend(2, 1, 3, 7, 11)}, {}),
        budget=budget_status(Budget(usd=2.0), waiting=0),
        last=LastRow(0, RowSource.CANDIDATE, "keep+a", 0.5, "ask", "ask", "answer"),
    )


async def get(address: Address, path: str, **headers: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            address.url(path), headers={name.replace("_", "-"): value for name, value in headers.items()}
        ) as reply,
    ):
        return reply.status, await reply.json(content_type=None)


@pytest.mark.parametrize("factory", [None, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_status_needs_the_token_and_says_everything(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """The token of the owner's file opens /api; without it, or with another, there is a problem document."""

    async def main() -> None:
        async with serve("127.0.0.1", 0, tmp_path, status) as address:
            assert await asyncio.to_thread(read_address, tmp_path) == address
            assert stat.S_IMODE((tmp_path / ADDRESS_FILE).stat().st_mode) == 0o600
            code, told = await get(address, "/api/v1/status", Authorization=f"Bearer {address.token}")
            assert (code, told["seeds_done"], told["phase"]) == (200, 1, "running")
            assert told["channels"][0]["name"] == "plans"
            assert told["endpoints"][0]["failures"] == {"timeout": 1}
            assert told["bill"]["total"]["usd"] is None
            assert told["bill"]["pairs"][0]["output_tokens"] == 11
            assert told["budget"]["usd"] == 2.0
            code, told = await get(address, "/api/v1/weights", Authorization=f"Bearer {address.token}")
            assert (code, told) == (200, {"version": 0, "p": {"keep+a": 0.75}})
            for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}):
                code, told = await get(address, "/api/v1/status", **wrong)
                assert code == 401
                assert address.token not in str(told)

    run_real(main(), factory=factory)
    assert read_address(tmp_path) is None


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}]
)
def test_foreign_hosts_and_origins_are_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    """A page that rebinds its name to loopback, or scripts against us, gets nothing, not even health."""

    async def main() -> None:
        async with serve("127.0.0.1", 0, tmp_path, status) as address:
            token = {"Authorization": f"Bearer {address.token}"}
            for path in ("/healthz", "/api/v1/status"):
                code, _ = await get(address, path, **token, **headers)
                assert code == 403

    run_real(main())


def test_health_says_no_more_than_whether(tmp_path: Path) -> None:
    """Alive always, ready only while running; unknown paths are problems, not pages."""

    async def main() -> None:
        for phase, code in ((Phase.RUNNING, 200), (Phase.STARTING, 503), (Phase.DRAINING, 503)):
            async with serve("127.0.0.1", 0, tmp_path, lambda phase=phase: status(phase)) as address:  # type: ignore[misc]
                assert await get(address, "/healthz") == (200, {"ok": True})
                assert await get(address, "/readyz") == (code, {"ready": code == 200})
                assert (await get(address, "/nothing"))[0] == 404

    run_real(main())


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """The error names the setting, the port and the mend."""

    async def main() -> None:
        async with serve("127.0.0.1", 0, tmp_path, status) as address:
            with pytest.raises(PortTakenError, match=rf"service\.port: cannot listen on 127\.0\.0\.1:{address.port}"):
                async with serve("127.0.0.1", address.port, tmp_path, status):
                    pytest.fail("two services on one port")

    run_real(main())
