"""Endpoints that are down and calls that are cancelled, on virtual time: nothing leaks, hangs, or storms."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import clock
from star_agents.core.calls import Completion
from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    ConnectFailedError,
    QuotaExhaustedError,
    StarError,
)
from star_agents.endpoints.fleet import Fleet
from star_agents.mock import catalogue
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import Chance, Script, always, first, never
from star_agents.traffic.breaker import OPEN_AFTER
from tests.endpoints.simulated import Simulation, answered, ask_all, in_fleet, request


@pytest.mark.fault("F-01")
def test_f01_an_outage_of_a_minute_fails_nobody() -> None:
    """F-01: while nobody listens for 60 s, the breaker probes a few times, and no task fails."""
    simulation = Simulation(refuses=lambda now, _: 10.0 <= now < 70.0)

    async def body(fleet: Fleet) -> None:
        assert answered(await ask_all(fleet, range(200)))
        during = [send for send in simulation.sends if 10.0 <= send.at < 70.0]
        let_in = 8 + max(OPEN_AFTER, 8)  # before it was known; then probes after 1, 2, 4 ... 32 s
        assert len(during) <= let_in + 6
        assert [fleet.snapshot()[0].state, fleet.unavailable()] == ["ok", frozenset()]

    in_fleet(simulation, body, concurrency=8)


@pytest.mark.fault("F-01", "F-26")
def test_after_an_outage_the_calls_that_waited_come_back_fast() -> None:
    """A run has only so many calls: when all of them wait for their retry, their own answers must let the rest go."""
    simulation = Simulation(refuses=lambda now, _: 0.5 <= now < 30.0)

    async def body(fleet: Fleet) -> None:
        assert answered(await ask_all(fleet, range(400)))
        found_at = min(send.at for send in simulation.sends if send.at >= 30.0)
        assert clock.now() - found_at <= 10 * simulation.latency_s

    in_fleet(simulation, body, concurrency=200)


@pytest.mark.fault("F-26")
@pytest.mark.parametrize("slots", [32, 256])
def test_a_server_that_fails_one_call_in_five_at_once_is_used_to_the_full(slots: int) -> None:
    """Of each burst the failed calls end first, so many in a row: that must not be taken for an outage."""
    bad_luck = ("reset", "short_body", "http_500", "http_503")
    simulation = Simulation(Chance(0.2, names=bad_luck), fault_latency_s=0.001)
    requests = 100 * slots

    async def body(fleet: Fleet) -> None:
        began = clock.now()
        outcomes = await ask_all(fleet, range(requests))
        assert sum(isinstance(outcome, Completion) for outcome in outcomes) >= 0.99 * requests
        assert clock.now() - began <= 1.1 * simulation.latency_s * requests / slots

    in_fleet(simulation, body, concurrency=slots, pacing="fixed")


@pytest.mark.fault("F-26")
def test_f26_ten_minutes_of_503_cost_little() -> None:
    """F-26: calls that keep coming through an outage are sent 1.2 times on average, and none is lost."""
    simulation = Simulation(latency_s=0.2)
    simulation.script = lambda _: failing(503) if 60.0 <= clock.now() < 660.0 else None

    async def body(fleet: Fleet) -> None:
        async def later(number: int) -> Completion:
            await asyncio.sleep(float(number))
            return await fleet.complete(request(number))

        async with asyncio.TaskGroup() as group:
            for number in range(720):
                group.create_task(later(number))
        assert len(simulation.sends) <= 1.2 * 720

    in_fleet(simulation, body, concurrency=16)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(catalogue.OUT_OF_QUOTA, QuotaExhaustedError, id="f_20"),
        pytest.param(failing(401), AuthFailedError, id="f_21"),
        pytest.param(failing(404), StarError, id="f_22"),
    ],
)
def test_a_fatal_endpoint_is_sent_one_call_and_probed_five_minutes_later(fault: Fault, error: type[StarError]) -> None:
    """F-20, F-21, F-22: those waiting fail with the same reason at once; after 300 s one call may try, and mends it."""
    simulation = Simulation(first(1, fault))

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(20))
        assert all(isinstance(outcome, error) for outcome in outcomes)
        assert len(simulation.sends) == 1
        assert fleet.unavailable() == {"e"}
        with pytest.raises(error):
            await fleet.complete(request(99))
        assert fleet.snapshot()[0].state == "open"
        await asyncio.sleep(301.0)
        assert fleet.unavailable() == frozenset()
        assert answered(await ask_all(fleet, [100]))
        assert fleet.snapshot()[0].state == "ok"

    in_fleet(simulation, body, concurrency=1)


@pytest.mark.fault("F-24")
def test_f24_when_all_are_poison_the_endpoint_is_stopped() -> None:
    """F-24: after the first few it is the template that is wrong, and no more are sent."""
    simulation = Simulation(always(catalogue.BAD_REQUEST))

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(1000))
        assert all(isinstance(outcome, BadRequestError) for outcome in outcomes)
        assert len(simulation.sends) <= 24
        assert "too many requests are refused" in str(outcomes[-1])

    in_fleet(simulation, body, concurrency=4)


def test_a_dead_replica_costs_nothing_but_a_new_connection() -> None:
    """Of two replicas one is down: the other answers every call, and few are sent besides those already let in."""
    fleet_size = 8
    simulation = Simulation(refuses=lambda _, replica: replica == "http://b/v1")

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(100))
        assert answered(outcomes)
        assert fleet.snapshot()[0].state == "ok"
        probes = 4
        assert sum(send.replica == "http://b/v1" for send in simulation.sends) <= OPEN_AFTER + fleet_size + probes

    in_fleet(simulation, body, base_urls=("http://a/v1", "http://b/v1"), concurrency=fleet_size)


def test_a_replica_that_rejects_the_key_is_left_for_the_others() -> None:
    """F-21 with two replicas: its calls go elsewhere and are not charged."""
    simulation = Simulation()
    simulation.script = lambda _: failing(401) if simulation.sends[-1].replica == "http://b/v1" else None

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(50))
        assert {outcome.attempts for outcome in outcomes if isinstance(outcome, Completion)} == {1}
        assert answered(outcomes)

    in_fleet(simulation, body, base_urls=("http://a/v1", "http://b/v1"), concurrency=8)


def test_an_endpoint_that_stays_down_is_given_up_after_its_patience() -> None:
    """Its calls wait through the patience, then all fail, late comers at once; a probe finds it when it is back."""
    simulation = Simulation(refuses=lambda now, _: now < 2000.0)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(30))
        assert all(isinstance(outcome, ConnectFailedError) for outcome in outcomes)
        gave_up_at = clock.now()
        assert 900.0 <= gave_up_at <= 900.0 + 300.0
        assert fleet.unavailable() == {"e"}
        assert not answered(await ask_all(fleet, [31]))
        assert clock.now() == gave_up_at
        probes = []
        while clock.now() < 2000.0 + 300.0:
            await asyncio.sleep(50.0)
            probes += await ask_all(fleet, [len(simulation.sends)])
        assert isinstance(probes[-1], Completion)

    in_fleet(simulation, body, concurrency=8, patience_s=900.0)


FAULTS = st.one_of(
    st.builds(Chance, st.sampled_from([0.0, 0.2, 0.6]), st.integers(0, 99)),
    st.sampled_from([always(failing(401)), always(catalogue.LIMITED), first(9, catalogue.NO_REPLY)]),
)


@pytest.mark.fault("F-09")
@given(
    FAULTS,
    st.lists(st.floats(0.0, 12.0), min_size=1, max_size=16),
    st.integers(1, 4),
    st.sampled_from([("http://a/v1",), ("http://a/v1", "http://b/v1")]),
)
def test_f09_a_cancelled_call_leaves_nothing_behind(
    script: Script, cancelled_at: list[float], concurrency: int, base_urls: tuple[str, ...]
) -> None:
    """F-09: whenever calls are cancelled, waiting, sending or backing off, every permit comes back and works."""
    simulation = Simulation(script)

    async def cut(fleet: Fleet, number: int, after_s: float) -> None:
        try:
            async with asyncio.timeout(after_s):
                await fleet.complete(request(number))
        except (TimeoutError, StarError):
            pass

    async def body(fleet: Fleet) -> None:
        async with asyncio.TaskGroup() as group:
            for number, after_s in enumerate(cancelled_at):
                group.create_task(cut(fleet, number, after_s))
        assert simulation.peak <= concurrency
        simulation.script = never
        await asyncio.sleep(301.0)  # whatever had opened may be probed by now
        assert answered(await ask_all(fleet, [100]))
        assert answered(await ask_all(fleet, range(101, 110)))

    in_fleet(simulation, body, concurrency=concurrency, base_urls=base_urls)
