"""What the service gives is what openapi.yaml says: nothing less, and nothing that it does not tell of."""

import asyncio
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from star_agents.core.calls import SamplingParams
from star_agents.core.records import (
    Agent,
    Grade,
    ModelScore,
    Probe,
    ProbeTally,
    RowSource,
    Scores,
    ScoreStatus,
    Tally,
    Verdict,
    VerdictSource,
)
from star_agents.endpoints.meter import EndpointStatus
from star_agents.endpoints.servers.local import ServerStatus
from star_agents.endpoints.servers.supervisor import ServerState
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.scoring.crew import CrewState
from star_agents.scoring.pool import PoolStatus
from star_agents.service.api.control import CastStatus
from star_agents.service.life.at_rest import shown_at_rest
from star_agents.service.run.timeline import Sample
from star_agents.service.view.bill import Bill, BillLine, BudgetStatus
from star_agents.service.view.judge_status import JudgeStatus, judge_status
from star_agents.service.view.order_line import OrderLine
from star_agents.service.view.status import (
    Bottleneck,
    Ending,
    LastRow,
    PairStatus,
    Phase,
    PoolChange,
    RunStatus,
)
from star_agents.storage.commands import Outcome, Verb
from star_agents.storage.folder import RunFolder
from star_agents.storage.lost import Lost
from tests.loops import run_real
from tests.service.answers import closed, mismatch, of_answer
from tests.service.service_world import status
from tests.web.test_page import fill, fill_hostile
from tests.web.theatre import Theatre

RECORDS: dict[str, type[Any]] = {
    "Status": RunStatus,
    "Cast": CastStatus,
    **{
        record.__name__: record
        for record in (Agent, Bill, BillLine, Bottleneck, BudgetStatus, ChannelStatistics, EndpointStatus, Grade)
    },
    **{
        record.__name__: record
        for record in (
            JudgeStatus,
            LastRow,
            Lost,
            ModelScore,
            OrderLine,
            PairStatus,
            PoolChange,
            PoolStatus,
            Probe,
            ProbeTally,
        )
    },
    **{record.__name__: record for record in (Sample, SamplingParams, Scores, ServerStatus, Verdict)},
}
NAMES = {"Phase": Phase, "Ending": Ending, "CrewState": CrewState, "ServerState": ServerState} | {
    "Outcome": Outcome,
    "RowSource": RowSource,
    "ScoreStatus": ScoreStatus,
    "Verb": Verb,
    "VerdictSource": VerdictSource,
}
PLAIN = {
    "/api/v1/token": {},
    "/api/v1/status": {},
    "/api/v1/weights": {},
    "/api/v1/weights/history": {},
    "/api/v1/endpoints": {},
    "/api/v1/timeline": {},
    "/api/v1/rows/page": {},
    "/api/v1/rows/{number}": {"number": "1"},
    "/api/v1/seeds/{number}": {"number": "0"},
    "/api/v1/scores": {},
}
"""Every document that is asked for with GET and needs no engine, with what its path needs."""


def everything() -> RunStatus:
    """A snapshot in which nothing is empty and nothing is null."""
    shown = status()
    assert shown.last is not None
    server = ServerStatus(
        name="smol",
        state=ServerState.UP,
        since="2026-01-02T03:04:05.678+00:00",
        reason="slow",
        restarts=1,
        pid=17,
        log_path="smol.log",
    )
    tally = Tally((), {"judge.asked": 3, "judge.spared": 1}, ProbeTally(2, 1, recent=(True, False)))
    lost = Lost(file="shards/1.parquet", holds="rows", why="gone", seq_lo=1, seq_hi=9, seed_lo=0, seed_hi=11, rows=9)
    return replace(
        shown,
        eta_s=9.0,
        servers=(server,),
        recent=(shown.last,),
        judging=judge_status(tally, {}, swap=True),
        ending=Ending.LIMIT,
        page="http://127.0.0.1:8765/",
        changes=(PoolChange(3, ("keep+b",), ("keep+a",), ("response:b",), "a better one"),),
        lost=(lost,),
        orders=(OrderLine(1, "2026-01-02T03:04:05.678+00:00", "port:token", Verb.PAUSE, Outcome.DONE, "for lunch"),),
    )


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_is_described_field_by_field(name: str) -> None:
    """What is serialised as it stands has every field in the document, and each is always there."""
    schema = closed()["components"]["schemas"][name]
    expected = {field.name for field in fields(RECORDS[name])}
    assert set(schema["properties"]) == expected
    assert set(schema["required"]) == expected


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_that_are_listed_are_all_listed(name: str) -> None:
    """A phase or a state that is new is new in the document too."""
    assert closed()["components"]["schemas"][name]["enum"] == [str(member) for member in NAMES[name]]


def test_a_field_that_is_not_described_is_found() -> None:
    """The comparison can fail: beside what is described, within it, and where something is missing."""
    told = orjson.loads(orjson.dumps(status(), default=dict))
    schema = of_answer("/api/v1/status")
    assert mismatch(schema, told) == ""
    assert "surprise" in mismatch(schema, told | {"surprise": 1})
    assert "surprise" in mismatch(schema, told | {"last": told["last"] | {"surprise": 1}})
    assert "bottleneck" in mismatch(schema, {name: value for name, value in told.items() if name != "bottleneck"})


async def wrong_answers(address: Any, token: str) -> dict[str, str]:  # noqa: ANN401
    """What each of the documents has that it should not, or has not."""
    found = {}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        for path, parts in PLAIN.items():
            async with client.get(address.url(path.format(**parts))) as reply:
                assert reply.status == 200, path
                found[path] = mismatch(of_answer(path), await reply.json())
        for path in ("/healthz", f"/api/v1/rows/{'9' * 17}", "/api/v1/rows/page?limit=999"):
            async with client.get(address.url(path)) as reply:
                name = "Health" if reply.status == 200 else "Problem"
                schema = {"$ref": f"#/components/schemas/{name}"}
                found[path] = mismatch(schema, await reply.json(content_type=None))
        async with client.get(address.url("/api/v1/events")) as reply:
            line = await reply.content.readline() + await reply.content.readline()
            found["events"] = mismatch(of_answer("/api/v1/status"), orjson.loads(line.partition(b"data: ")[2]))
    return {path: wrong for path, wrong in found.items() if wrong}


@pytest.mark.parametrize("shown", [everything(), RunStatus("test", Phase.STARTING, "", 0.0)], ids=["full", "bare"])
@pytest.mark.parametrize("filled", [lambda path: fill(path, 30), fill_hostile], ids=["rows", "hostile"])
def test_answers_of_a_run_are_as_described(tmp_path: Path, shown: RunStatus, filled: Any) -> None:  # noqa: ANN401
    """Snapshots full and bare; rows with a failure, scores, verdicts and calls; problems; and each event."""

    async def main() -> None:
        theatre = Theatre(tmp_path)
        await filled(theatre.folder.database)
        await theatre.timeline.note(shown)
        theatre.shown = shown
        async with theatre.playing():
            assert await wrong_answers(theatre.address, theatre.address.read_token) == {}

    run_real(main())


def test_answers_of_a_run_at_rest_are_as_described(tmp_path: Path) -> None:
    """Read from its folder, they are the same documents."""

    async def main() -> None:
        folder = RunFolder(tmp_path)
        await fill(folder.database, 30)
        async with asyncio.timeout(60), shown_at_rest(folder, port=0) as address:
            assert await wrong_answers(address, address.token) == {}

    run_real(main())
