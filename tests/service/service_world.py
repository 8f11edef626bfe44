"""A service of a run without an engine, on a real port, and a client for it."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp

from star_agents.core.records import RowSource
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import Channel
from star_agents.scoring.crew import CrewState
from star_agents.scoring.pool import PoolStatus
from star_agents.service.api.control import Control, Levers
from star_agents.service.api.server import Place, serve
from star_agents.service.life.vitals import Vitals
from star_agents.service.run.address import Address
from star_agents.service.view.bill import bill, budget_status
from star_agents.service.view.status import Bottleneck, LastRow, PairStatus, Phase, RunStatus
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.budget import Budget


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
        bottleneck=Bottleneck("endpoint e", "8 of 8 calls out, 30 wait", 0.75),
    )


def control(folder: Path, phase: Phase = Phase.RUNNING) -> Control:
    """What steers a run that is in this phase, without an engine."""
    health = Vitals(folder, {}).health
    return Control(Levers(status=lambda: status(phase), engine=lambda: None, move=lambda _: None, health=health))


def opened(
    folder: Path,
    *,
    phase: Phase = Phase.RUNNING,
    **place: Any,  # noqa: ANN401  # fields of a `Place`
) -> AbstractAsyncContextManager[Address]:
    """Its service."""
    fields: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "run_dir": folder} | place
    return serve(Place(**fields), control(folder, phase))


async def get(address: Address, path: str, **headers: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            address.url(path), headers={name.replace("_", "-"): value for name, value in headers.items()}
        ) as reply,
    ):
        return reply.status, await reply.json(content_type=None)
