"""The fleet over real sockets, uvloop and asyncio: faults drawn by chance, and the server's journal as the oracle."""

import asyncio

import pytest

from star_agents.core.calls import Completion
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from star_agents.mock.answers import answer
from star_agents.mock.conduct import Conduct
from star_agents.mock.journal import sends, served
from star_agents.mock.script import Chance
from star_agents.mock.server import MockServer
from tests.endpoints.conftest import Run
from tests.endpoints.simulated import request
from tests.fakes.completer import body_of

NUM_CALLS = 300


async def ask_all(fleet: Fleet) -> list[Completion]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fleet.complete(request(number))) for number in range(NUM_CALLS)]
    return [task.result() for task in tasks]


@pytest.mark.fault("F-04", "F-05", "F-08", "F-10", "F-16", "F-25", "F-28")
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_nothing_is_lost_mixed_up_or_sent_twice_for_nothing(run: Run, rate: float) -> None:
    """F-04, F-05, F-08, F-10, F-16, F-25, F-28: each call has its own answer; the server saw what we counted."""

    async def main() -> None:
        async with MockServer(Chance(rate, seed=11), conduct=Conduct(latency_s=0.005)) as server:
            spec = EndpointSpec(name="e", base_urls=(server.base_url,), model="m", concurrency=32)
            async with Fleet([spec], 7) as fleet:
                completions = await ask_all(fleet)
                (status,) = fleet.snapshot()
        right = [answer(body_of(request(number))).text for number in range(NUM_CALLS)]
        assert [completion.text for completion in completions] == right
        assert server.peak_in_flight <= spec.concurrency
        journal = server.journal.entries
        assert sends(journal).total() == status.requests
        assert len(served(journal)) == NUM_CALLS
        assert served(journal).total() == NUM_CALLS
        assert status.requests - NUM_CALLS == status.retries == sum(status.faults.values())
        assert status.failures == {}

    run(main())


@pytest.mark.fault("F-01")
def test_f01_a_server_that_goes_away_and_comes_back(run: Run) -> None:
    """F-01: a crash cuts what is in flight and refuses the rest; when it is back, every call is answered."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(latency_s=0.02)) as server:
            spec = EndpointSpec(name="e", base_urls=(server.base_url,), model="m", concurrency=16)
            async with Fleet([spec], 7) as fleet, asyncio.TaskGroup() as group:
                asking = group.create_task(ask_all(fleet))
                await asyncio.sleep(0.1)
                await server.stop()
                await asyncio.sleep(0.3)
                assert fleet.unavailable() == {"e"}
                await server.listen()
                assert len(await asking) == NUM_CALLS
                assert fleet.snapshot()[0].failures == {}

    run(main())


@pytest.mark.fault("F-06")
def test_f06_black_holes_among_others(run: Run) -> None:
    """F-06: a send that hears nothing is left at its deadline and tried again; the others never wait for it."""

    async def main() -> None:
        async with MockServer(Chance(0.02, seed=3, names=("black_hole",))) as server:
            timeouts = Timeouts(first_byte_s=0.2)
            spec = EndpointSpec(name="e", base_urls=(server.base_url,), model="m", timeouts=timeouts)
            async with Fleet([spec], 7) as fleet:
                assert len(await ask_all(fleet)) == NUM_CALLS
                assert set(fleet.snapshot()[0].faults) == {"timeout"}

    run(main())
