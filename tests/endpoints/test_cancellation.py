"""Calls that are cut off anywhere: deadlines and drains do it all day, and no connection may be lost to it."""

import asyncio
import os
from dataclasses import replace
from random import Random

import pytest

from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.spec import EndpointSpec
from tests.endpoints.conftest import Run
from tests.endpoints.rawserver import HEAD, Line, ask, talking
from tests.endpoints.streams import CHAT, SPEC, sse
from tests.loops import run_real

LANES = 32
SPECS = {"whole": replace(SPEC, stream=False, concurrency=LANES), "streamed": replace(SPEC, concurrency=LANES)}
WHOLE = b'{"choices": [{"message": {"content": "Iron oxide."}}]}'


async def slowly(line: Line) -> None:
    """Answer within a few milliseconds, with a pause at every turn at which a call can be cut."""
    await asyncio.sleep(0.001)
    if b'"stream":true' not in line.asked.body:
        await line.reply(WHOLE)
        return
    await line.write(HEAD)
    for event in CHAT:
        await line.chunk(sse(event))
        await asyncio.sleep(0.0005)
    await line.chunk(b"")


async def cut_many(client: ReplicaClient, spec: EndpointSpec, count: int) -> int:
    """Make calls and cut each after a random while; how many were answered all the same."""
    chance, answered = Random(count), 0

    async def work(lane: int) -> None:
        nonlocal answered
        for _ in range(lane, count, LANES):
            try:
                async with asyncio.timeout(chance.random() * 0.03):
                    await ask(client, spec)
                    answered += 1
            except TimeoutError:
                pass

    async with asyncio.TaskGroup() as group:
        for lane in range(LANES):
            group.create_task(work(lane))
    return answered


async def leaks_nothing(spec: EndpointSpec, count: int) -> None:
    async with talking(slowly, spec) as (_, client):
        assert await ask(client, spec)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # on a loop, and it never blocks
        answered = await cut_many(client, spec, count)
        assert 0 < answered < count
        async with asyncio.TaskGroup() as group:  # all of the pool at once: none of it is held by the dead
            calls = [group.create_task(ask(client, spec)) for _ in range(LANES)]
        assert {call.result() for call in calls} == {"Iron oxide."}
        assert client._session is not None
        assert client._session.connector is not None
        assert not client._session.connector._acquired  # shown nowhere
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) <= before + 2 * (LANES + 8)  # noqa: PTH208  # both ends are ours


@pytest.mark.fault("F-09")
@pytest.mark.parametrize("kind", sorted(SPECS))
def test_f09_cut_calls_leak_no_connection(run: Run, kind: str) -> None:
    """F-09: a thousand of them, streamed or not, on either loop."""
    run(leaks_nothing(SPECS[kind], 1_000))


@pytest.mark.fault("F-09")
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_f09_ten_thousand_cut_calls_leak_no_connection(count: int) -> None:
    """F-09: and the pool is as good as new after many."""
    run_real(leaks_nothing(SPECS["whole"], count))
