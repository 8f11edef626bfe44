"""A crash wastes at most `concurrency` calls: those that are out, and answers that are not on record yet."""

import asyncio

import pytest

from star_agents.core.calls import Completion, Reply, Request
from star_agents.core.errors import StoreError
from star_agents.core.place import Place
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import Seen
from star_agents.pipeline.ask import Asker
from star_agents.traffic.budget import Budget, Cost
from tests.endpoints.simulated import Simulation, in_fleet, request
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual

CONCURRENCY = 4


class SlowStore(MemoryStore):
    """A store whose disk takes `commit_s` for a reply; `at_stake` are the answers that a crash would lose now."""

    def __init__(self, fleet: Fleet, commit_s: float) -> None:
        super().__init__()
        self._fleet = fleet
        self._commit_s = commit_s
        self.at_stake = 0
        self.worst = 0

    async def respond(self, request: Request, reply: Reply) -> None:
        self.at_stake += 1
        self._look()
        try:
            await asyncio.sleep(self._commit_s)
            self._look()
        finally:
            self.at_stake -= 1

    def _look(self) -> None:
        (status,) = self._fleet.snapshot()
        assert status.kept >= self.at_stake
        self.worst = max(self.worst, status.in_flight + self.at_stake)


def refuse_some(seen: Seen) -> Fault | None:
    return failing(400) if seen.number % 3 == 2 else failing(503) if seen.number % 5 == 4 else None


@pytest.mark.parametrize("commit_s", [0.0, 0.01, 3.0])
@pytest.mark.fault("F-64")
def test_f64_calls_out_and_replies_not_on_record_are_never_more_than_the_limit(commit_s: float) -> None:
    """F-64: whatever the disk takes, failures included; every call ends and every place is free again."""
    simulation = Simulation(script=refuse_some)

    async def body(fleet: Fleet) -> None:
        store = SlowStore(fleet, commit_s)
        asker = Asker(fleet, store, {})
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(asker.ask(request(number)))
        (status,) = fleet.snapshot()
        assert (store.at_stake, status.kept) == (0, 0)
        assert store.worst <= CONCURRENCY
        assert simulation.peak == CONCURRENCY

    in_fleet(simulation, body, concurrency=CONCURRENCY, pacing="fixed", patience_s=600.0)


def test_a_store_that_fails_gives_the_places_back() -> None:
    """The run ends by the error, not by a gate that stays shut."""

    async def body(fleet: Fleet) -> None:
        store = MemoryStore(fail_at=1)
        for number in range(2 * CONCURRENCY):
            with pytest.raises(StoreError):
                await Asker(fleet, store, {}).ask(request(number))
        (status,) = fleet.snapshot()
        assert status.kept == 0

    in_fleet(Simulation(), body, concurrency=CONCURRENCY)


def test_a_cancelled_stage_gives_the_places_back() -> None:
    """Cut while all of them wait for the disk: the next calls go out."""

    async def body(fleet: Fleet) -> None:
        asker = Asker(fleet, SlowStore(fleet, 1e6), {})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asker.ask(request(number))) for number in range(3 * CONCURRENCY)]
            await asyncio.sleep(100.0)
            (status,) = fleet.snapshot()
            assert (status.kept, status.in_flight, status.waiting) == (CONCURRENCY, 0, 2 * CONCURRENCY)
            for task in tasks:
                task.cancel()
        assert isinstance(await fleet.complete(request(99)), Completion)
        (status,) = fleet.snapshot()
        assert status.kept == 0

    in_fleet(Simulation(), body, concurrency=CONCURRENCY, pacing="fixed")


def test_an_answer_that_was_cut_short_keeps_its_place_for_the_longer_one() -> None:
    """What a crash would lose is both sends of few calls, never one send of many; nobody is passed by for ever."""
    simulation = Simulation()
    begun: set[int] = set()

    async def body(fleet: Fleet) -> None:
        async def ask(number: int) -> None:
            place = Place()
            assert (await fleet.complete(request(number, max_tokens=4), place)).attempts == 2
            begun.add(number)
            place.leave()

        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(ask(number))
            while len(begun) < 12:
                await asyncio.sleep(0.5)
                sent = {send.body["messages"][-1]["content"] for send in simulation.sends}
                assert len(sent) - len(begun) <= CONCURRENCY

    in_fleet(simulation, body, concurrency=CONCURRENCY, pacing="fixed")


def test_who_waits_for_money_holds_no_place() -> None:
    """With money for one call at a time and one place: both of two answers that are cut short come to their end."""

    async def main() -> None:
        asked = [request(number, max_tokens=4) for number in range(2)]
        worst = 200  # of one send: what is left when the rest is set aside is enough for one, and not for two
        purse = Purse(Budget(tokens=10_000))
        spec = EndpointSpec(name="e", base_urls=("http://a/v1",), model="m", concurrency=1, pacing="fixed")
        async with (
            Fleet([spec], 7, purse=purse, connect=Simulation().connect) as fleet,
            purse.hold(Cost(10_000 - worst)) as rest,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(ask_and_leave(fleet, one)) for one in asked]
            async with asyncio.timeout(60.0):
                assert [await task for task in tasks] == [2, 2]
            rest.settle(Cost())

    run_virtual(main())


async def ask_and_leave(fleet: Fleet, asked: Request) -> int:
    """The attempts that it took."""
    place = Place()
    completion = await fleet.complete(asked, place)
    place.leave()
    return completion.attempts


def test_a_retry_waits_without_a_place() -> None:
    """With one place, a call that is to be tried again later lets another through meanwhile."""
    simulation = Simulation(script=lambda seen: failing(503) if seen.number == 0 else None, latency_s=0.01)

    async def body(fleet: Fleet) -> None:
        first, second = Place(), Place()
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(fleet.complete(request(0), first))
            await asyncio.sleep(0.02)
            await fleet.complete(request(1), second)
            assert not slow.done()
            second.leave()
        first.leave()

    in_fleet(simulation, body, concurrency=1)
