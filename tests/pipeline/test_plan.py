"""Planning: many plans share a commit and keep their order, and a draw that leans says so in its propensities."""

import asyncio

from star_agents.core.records import AgentPair, Plan
from star_agents.traffic.tilt import KEEP
from tests.fakes.store import MemoryStore
from tests.flow.world import POOL, Run, World
from tests.loops import run_virtual


class SlowStore(MemoryStore):
    """Takes a second for each commit, as a slow disk does; plans asked for meanwhile share the next."""

    async def assign(self, plan: Plan) -> None:
        await super().assign(plan)
        await asyncio.sleep(1.0)


def test_a_slow_disk_does_not_hold_planning_up() -> None:
    """Plans are recorded in source order and side by side: forty of them take no forty commits."""

    async def main() -> float:
        store = SlowStore()
        run = Run(world=World(dict.fromkeys(("base", "good", "fair", "poor", "deepen", "judge"), 0.01)), store=store)
        await run.start()
        assert list(store.plans) == sorted(store.plans)
        assert len(store.log) == 40
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 20.0


def test_a_leaning_draw_stores_its_own_propensities() -> None:
    """What is idle is drawn more, nothing less than a floor of its p, and each slot tells by how much."""
    names = ("base", "good", "fair", "poor", "deepen")
    run = Run(world=World(), store=MemoryStore(), idle=dict.fromkeys(names, 0.0) | {"poor": 1.0, "deepen": 1.0})
    run.from_memory = 0

    run_virtual(run.start())

    first_drawn = [plan.slots[1] for plan in run.store.plans.values() if plan.weights_version == 0]
    even = 1 / len(POOL)
    assert len(first_drawn) >= run.max_in_flight
    for slot in first_drawn:
        is_idle = slot.pair in {AgentPair("keep", "poor"), AgentPair("deepen", "poor")}
        assert slot.propensity > 1.5 * even if is_idle else KEEP * even <= slot.propensity < even
    assert any(slot.pair.response == "poor" for slot in first_drawn)


def test_without_draws_from_memory_the_bank_is_not_asked() -> None:
    """With l = 0 no pair is kept out of the draw for having won: every one of the pool is drawn now and then."""
    run = Run(world=World(), store=MemoryStore(), num_seeds=120, from_memory=0)

    run_virtual(run.start())

    late = [plan for number, plan in run.store.plans.items() if number >= 60]
    assert len(run.board.memory) > 0
    assert not any(plan.pool for plan in late)
    assert {slot.pair.response for plan in late for slot in plan.slots} >= {"good", "fair"}
