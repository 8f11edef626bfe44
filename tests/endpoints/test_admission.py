"""The queue in front of an endpoint, cancelled at every instant that a loop has."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import clock
from star_agents.core.calls import NOTHING
from star_agents.core.errors import AuthFailedError, CallError
from star_agents.endpoints.admission import Admission, RefusedError
from star_agents.traffic.breaker import OPEN_AFTER
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.routing import Router
from tests.loops import run_virtual


def admission(limit: int = 1, replicas: int = 1) -> Admission:
    return Admission(Pacer(Fixed(limit)), Router(replicas), lambda _: None)


def is_empty(gate: Admission) -> bool:
    return (gate.pacer.in_flight, gate.waiting, *gate.router.in_flight) == (0, 0, *[0] * len(gate.router.in_flight))


async def hold(gate: Admission, seconds: float) -> None:
    async with gate.permit(1) as permit:
        await asyncio.sleep(seconds)
        permit.answered(clock.now(), NOTHING)


@pytest.mark.fault("F-09")
def test_f09_let_in_and_cancelled_in_one_breath() -> None:
    """F-09: the permit was given and its task never ran again: it is given back all the same."""

    async def main() -> None:
        gate = admission()
        async with asyncio.TaskGroup() as group, gate.permit(1):
            waiting = group.create_task(hold(gate, 1.0))
            await asyncio.sleep(0.0)
            asyncio.get_running_loop().call_soon(waiting.cancel)  # runs after the leaving, before the waking
        assert is_empty(gate)
        await hold(gate, 1.0)

    run_virtual(main())


def test_the_oldest_seed_goes_first() -> None:
    """Of those that wait, whoever came first; and of one seed's calls the first to come."""
    went: list[tuple[int, int]] = []

    async def ask(gate: Admission, seed: int, slot: int) -> None:
        async with gate.permit(1, seed=seed):
            went.append((seed, slot))
            await asyncio.sleep(1.0)

    async def main() -> None:
        gate = admission()
        async with asyncio.TaskGroup() as group, gate.permit(1):
            for seed, slot in ((7, 0), (3, 0), (5, 0), (3, 1), (4, 0)):
                group.create_task(ask(gate, seed, slot))
            await asyncio.sleep(0.0)
        assert is_empty(gate)

    run_virtual(main())
    assert went == [(3, 0), (3, 1), (4, 0), (5, 0), (7, 0)]


def open_all(gate: Admission) -> None:
    for breaker in gate.router.breakers:
        for _ in range(OPEN_AFTER):
            breaker.fail(0.0, is_probe=False)


@pytest.mark.fault("F-09")
@pytest.mark.parametrize("cancel_at", [0.5, 1.5])
def test_f09_a_cancelled_probe_gives_its_place_to_the_next(cancel_at: float) -> None:
    """F-09: whether it was waiting to go out or was out; the replica is found to work by the next."""

    async def main() -> None:
        gate = admission()
        open_all(gate)
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(hold(gate, 1.0))
            await asyncio.sleep(cancel_at)
            probe.cancel()
        assert is_empty(gate)
        await hold(gate, 1.0)
        assert not gate.router.is_down()

    run_virtual(main())


def test_a_refusal_turns_everybody_away() -> None:
    """Those that wait are told as soon as it is known, late comers at once, each with an error of its own."""
    reason: list[CallError] = []
    gate = Admission(Pacer(Fixed(1)), Router(1), lambda _: reason[-1] if reason else None)

    async def come() -> CallError:
        with pytest.raises(RefusedError) as caught:
            await hold(gate, 1.0)
        return caught.value.error

    async def main() -> None:
        async with asyncio.TaskGroup() as group, gate.permit(1):
            waiting = [group.create_task(come()) for _ in range(5)]
            await asyncio.sleep(1.0)
            reason.append(AuthFailedError("no"))
        assert [str(task.result()) for task in waiting] == ["no"] * 5
        assert str(await come()) == "no"
        assert is_empty(gate)

    run_virtual(main())


@dataclass(frozen=True, slots=True)
class Visit:
    """A call that comes, holds its permit, and may be cancelled; seconds, and steps of the loop after that."""

    comes_s: int
    holds_s: int
    cancelled_s: int | None
    steps: int


VISITS = st.builds(Visit, st.integers(0, 3), st.integers(0, 3), st.none() | st.integers(0, 6), st.integers(0, 4))


@pytest.mark.fault("F-09")
@given(st.lists(VISITS, max_size=12), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_f09_no_permit_is_lost_or_doubled(visits: list[Visit], limit: int, replicas: int, is_down: bool) -> None:
    """F-09: whatever comes, holds and is cancelled in whatever step of the loop, the gate ends empty and works."""

    async def main() -> None:
        gate = admission(limit, replicas)
        if is_down:
            open_all(gate)
        loop, peak = asyncio.get_running_loop(), 0

        def cancel(task: asyncio.Task[None], steps: int) -> None:
            if steps:
                loop.call_soon(cancel, task, steps - 1)
            else:
                task.cancel()

        async def visit(plan: Visit) -> None:
            nonlocal peak
            await asyncio.sleep(plan.comes_s)
            async with gate.permit(1) as permit:
                peak = max(peak, gate.pacer.in_flight)
                await asyncio.sleep(plan.holds_s)
                permit.answered(clock.now(), NOTHING)

        async with asyncio.TaskGroup() as group:
            for plan in visits:
                task = group.create_task(visit(plan))
                if plan.cancelled_s is not None:
                    loop.call_at(plan.cancelled_s, cancel, task, plan.steps)
        assert peak <= limit
        assert is_empty(gate)
        async with asyncio.timeout(10.0):
            await hold(gate, 1.0)

    run_virtual(main())
