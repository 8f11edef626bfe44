"""The one loop of retries, on virtual time: nothing is sent that should not be, nothing leaks, nothing hangs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import clock
from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    ConnectFailedError,
    ContextOverflowError,
    EmptyReplyError,
    FilteredReplyError,
    OverloadedError,
    QuotaExhaustedError,
    ReasoningOnlyError,
    StarError,
    TimedOutError,
    UnreadableReplyError,
)
from star_agents.core.records import Completion, FinishReason
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.routing import OPEN_AFTER
from tests.endpoints.simulated import Simulation, request
from tests.faultd import faults
from tests.faultd.faults import Chance, Fault, always, failing, first, in_turn
from tests.loops import run_virtual


async def ask_all(fleet: Fleet, numbers: Sequence[int]) -> list[Completion | StarError]:
    """Ask everything at once; the outcomes in order."""

    async def ask(number: int) -> Completion | StarError:
        try:
            return await fleet.complete(request(number))
        except StarError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(number)) for number in numbers]
    return [task.result() for task in tasks]


def in_fleet(simulation: Simulation, body: Callable[[Fleet], Awaitable[None]], **changes: object) -> None:
    """Run `body` with a fleet on virtual time, and see that every permit came back."""

    async def main() -> None:
        async with simulation.fleet(**changes) as fleet:
            await body(fleet)
            (status,) = fleet.snapshot()
            assert (status.in_flight, status.waiting, simulation.in_flight.total()) == (0, 0, 0)

    run_virtual(main())


def answered(outcomes: Sequence[Completion | StarError]) -> bool:
    return all(isinstance(outcome, Completion) for outcome in outcomes)


def test_f01_an_outage_of_a_minute_fails_nobody() -> None:
    """F-01: while nobody listens for 60 s, the breaker probes a few times, and no task fails."""
    simulation = Simulation(refuses=lambda now, _: 10.0 <= now < 70.0)

    async def body(fleet: Fleet) -> None:
        assert answered(await ask_all(fleet, range(200)))
        during = [send for send in simulation.sends if 10.0 <= send.at < 70.0]
        assert len(during) <= 8 + OPEN_AFTER + 6  # let in before it was known, and probes after 1, 2, 4 ... 32 s
        assert [fleet.snapshot()[0].state, fleet.unavailable()] == ["ok", frozenset()]

    in_fleet(simulation, body, concurrency=8)


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


def test_f16_nobody_is_sent_before_the_servers_time() -> None:
    """F-16: one 429 with a Retry-After pauses all calls to the endpoint, and charges none."""
    simulation = Simulation(first(1, failing(429, retry_after="5")), latency_s=0.1)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(50))
        assert [outcome.attempts for outcome in outcomes if isinstance(outcome, Completion)] == [1] * 50
        later = [send.at for send in simulation.sends if send.at > 0.0]
        assert 5.1 <= min(later) <= 5.1 + 0.2 * 5
        assert fleet.snapshot()[0].faults == {"rate_limited": 1}

    in_fleet(simulation, body, concurrency=4)


def test_f18_f19_after_a_pause_the_gate_lets_in_no_more_than_its_limit() -> None:
    """F-18, F-19: 500 waiters behind a 429 without a time do not come back as a herd."""
    simulation = Simulation(first(10, faults.LIMITED))

    async def body(fleet: Fleet) -> None:
        assert answered(await ask_all(fleet, range(500)))
        assert simulation.peak <= 10
        assert max(Counter(send.at for send in simulation.sends).values()) <= 10

    in_fleet(simulation, body, concurrency=10)


def test_a_paused_endpoint_says_so() -> None:
    """The snapshot names the state, the reason and the end of the pause."""
    simulation = Simulation(first(1, failing(429, retry_after="5")), latency_s=0.0)

    async def body(fleet: Fleet) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.complete(request(1)))
            await asyncio.sleep(1.0)
            (status,) = fleet.snapshot()
            assert (status.state, status.reason, status.waiting) == ("paused", "rate limited", 1)
            assert 5.0 <= (status.paused_until or 0.0) <= 6.0

    in_fleet(simulation, body)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(faults.OUT_OF_QUOTA, QuotaExhaustedError, id="f_20"),
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


def test_f23_a_full_context_is_the_requests_own_fault() -> None:
    """F-23: it fails once, for good, and never counts against the endpoint, however many there are."""
    simulation = Simulation(lambda seen: faults.TOO_LONG if seen.body["seed"] < 40 else None)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(50))
        assert sum(isinstance(outcome, ContextOverflowError) for outcome in outcomes) == 40
        assert len(simulation.sends) == 50
        assert fleet.snapshot()[0].failures == {"context_overflow": 40}

    in_fleet(simulation, body)


def test_f24_one_poison_item_in_a_thousand() -> None:
    """F-24: it fails alone, after one send."""
    simulation = Simulation(lambda seen: faults.BAD_REQUEST if seen.body["seed"] == 500 else None)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(1000))
        assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, BadRequestError)] == [500]
        assert len(simulation.sends) == 1000

    in_fleet(simulation, body)


def test_f24_when_all_are_poison_the_endpoint_is_stopped() -> None:
    """F-24: after the first few it is the template that is wrong, and no more are sent."""
    simulation = Simulation(always(faults.BAD_REQUEST))

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(1000))
        assert all(isinstance(outcome, BadRequestError) for outcome in outcomes)
        assert len(simulation.sends) <= 24
        assert "too many requests are refused" in str(outcomes[-1])

    in_fleet(simulation, body, concurrency=4)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 529])
def test_f25_transient_statuses_are_tried_four_times(status: int) -> None:
    """F-25: and then they are what the call fails with."""
    simulation = Simulation(always(failing(status)), latency_s=0.1)

    async def body(fleet: Fleet) -> None:
        with pytest.raises(OverloadedError):
            await fleet.complete(request(1))
        assert len(simulation.sends) == 4
        assert fleet.snapshot()[0].failures == {"server_error": 1}
        assert fleet.snapshot()[0].retries == 3

    in_fleet(simulation, body)


def test_f25_a_server_may_say_that_a_retry_is_no_use() -> None:
    """F-25: `x-should-retry: false` is obeyed."""
    simulation = Simulation(always(failing(500, None, **{"x-should-retry": "false"})))

    async def body(fleet: Fleet) -> None:
        assert not answered(await ask_all(fleet, [1]))
        assert len(simulation.sends) == 1

    in_fleet(simulation, body)


def test_f06_a_black_hole_is_left_in_time() -> None:
    """F-06: a call that hears nothing ends by its deadlines, and others have not waited for it."""
    simulation = Simulation(lambda seen: faults.BLACK_HOLE if seen.body["seed"] == 0 else None, timeout_s=60.0)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(4))
        assert [type(outcome) for outcome in outcomes] == [TimedOutError, Completion, Completion, Completion]
        assert clock.now() <= 4 * 60.0 + 3.5

    in_fleet(simulation, body, concurrency=2)


@pytest.mark.parametrize(
    ("fault", "error", "sends"),
    [
        pytest.param(faults.ERROR_INSIDE, OverloadedError, 4, id="f_28"),
        pytest.param(faults.HTML, UnreadableReplyError, 4, id="f_29-html"),
        pytest.param(faults.NOTHING, UnreadableReplyError, 4, id="f_29-empty-body"),
        pytest.param(faults.NO_CHOICES, UnreadableReplyError, 4, id="f_36"),
        pytest.param(faults.SILENT, EmptyReplyError, 3, id="f_37-empty"),
        pytest.param(faults.THINKING, ReasoningOnlyError, 3, id="f_37-reasoning"),
        pytest.param(faults.REFUSED, FilteredReplyError, 1, id="f_39"),
    ],
)
def test_a_bad_reply_is_tried_again_as_its_class_says(fault: Fault, error: type[StarError], sends: int) -> None:
    """F-28, F-29, F-36, F-37, F-39: and an empty reply never reaches a stage."""
    simulation = Simulation(always(fault))

    async def body(fleet: Fleet) -> None:
        (outcome,) = await ask_all(fleet, [1])
        assert type(outcome) is error
        assert len(simulation.sends) == sends

    in_fleet(simulation, body)


def test_f37_a_new_sample_is_new() -> None:
    """F-37: another seed each time, and more room where the model spent it all on thinking."""
    simulation = Simulation(in_turn([faults.SILENT, faults.THINKING]))

    async def body(fleet: Fleet) -> None:
        (outcome,) = await ask_all(fleet, [5])
        assert isinstance(outcome, Completion)
        assert outcome.attempts == 3
        assert [send.body["seed"] for send in simulation.sends] == [5, 6, 7]
        assert [send.body["max_tokens"] for send in simulation.sends] == [200, 200, 400]

    in_fleet(simulation, body)


def test_f38_an_answer_that_was_cut_is_asked_for_once_more() -> None:
    """F-38: with twice the tokens and the same seed; if it is cut again it is returned, and says so."""

    async def body(fleet: Fleet) -> None:
        completion = await fleet.complete(request(1, max_tokens=5))
        assert (completion.finish_reason, completion.attempts) == (FinishReason.LENGTH, 2)
        assert completion.usage.output_tokens == 10
        assert fleet.snapshot()[0].output_tokens == 15

    simulation = Simulation()
    in_fleet(simulation, body)
    first_send, second_send = (send.body for send in simulation.sends)
    assert (first_send.pop("max_tokens"), second_send.pop("max_tokens")) == (5, 10)
    assert first_send == second_send


def test_f38_what_was_cut_short_is_still_an_answer() -> None:
    """F-38: when the longer one cannot be had, the short one is returned."""

    async def body(fleet: Fleet) -> None:
        completion = await fleet.complete(request(1, max_tokens=5))
        assert (completion.finish_reason, completion.usage.output_tokens) == (FinishReason.LENGTH, 5)
        assert fleet.snapshot()[0].failures == {}

    in_fleet(Simulation(in_turn([None, faults.TOO_LONG])), body)


def test_f38_the_second_asking_can_be_turned_off() -> None:
    """A run that keeps truncated answers does not pay for longer ones."""

    async def body(fleet: Fleet) -> None:
        assert (await fleet.complete(request(1, max_tokens=5))).attempts == 1

    in_fleet(Simulation(), body, retry_truncated=False)


def test_the_permit_is_given_back_before_any_wait() -> None:
    """With one permit, a call in its back-off does not keep the others out."""
    simulation = Simulation(lambda seen: failing(503, retry_after="30") if seen.number == 0 else None)

    async def body(fleet: Fleet) -> None:
        await ask_all(fleet, range(10))
        first_again = [send.at for send in simulation.sends if send.body["seed"] == 0]
        others = [send.at for send in simulation.sends if send.body["seed"] != 0]
        assert first_again == [0.0, 31.0]
        assert max(others) == 9.0

    in_fleet(simulation, body, concurrency=1)


def test_first_come_first_served() -> None:
    """Calls are let in in the order in which they came."""
    simulation = Simulation()

    async def body(fleet: Fleet) -> None:
        await ask_all(fleet, range(20))
        assert [send.body["seed"] for send in simulation.sends] == list(range(20))

    in_fleet(simulation, body, concurrency=3)


def test_what_a_minute_allows_is_kept() -> None:
    """Sixty requests a minute are one a second after the burst, whatever the concurrency."""
    simulation = Simulation(latency_s=0.01)

    async def body(fleet: Fleet) -> None:
        await ask_all(fleet, range(20))
        times = [send.at for send in simulation.sends]
        assert times[:6] == [0.0] * 6
        assert times[6:] == pytest.approx([float(second) for second in range(1, 15)])

    in_fleet(simulation, body, requests_per_minute=60)


def test_a_dead_replica_costs_nothing_but_a_new_connection() -> None:
    """Of two replicas one is down: every call is answered by the other, and none is charged much."""
    simulation = Simulation(refuses=lambda _, replica: replica == "http://b/v1")

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(100))
        assert answered(outcomes)
        assert fleet.snapshot()[0].state == "ok"
        assert sum(send.replica == "http://b/v1" for send in simulation.sends) <= 12

    in_fleet(simulation, body, base_urls=("http://a/v1", "http://b/v1"), concurrency=8)


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


def test_the_same_run_backs_off_the_same() -> None:
    """Jitter is named by the call, so a run repeats itself to the instant."""

    def times() -> list[float]:
        simulation = Simulation(Chance(0.4, seed=5))

        async def body(fleet: Fleet) -> None:
            await ask_all(fleet, range(40))

        in_fleet(simulation, body, concurrency=8)
        return [send.at for send in simulation.sends]

    assert times() == times()


FAULTS = st.one_of(
    st.builds(Chance, st.sampled_from([0.0, 0.2, 0.6]), st.integers(0, 99)),
    st.sampled_from([always(failing(401)), always(faults.LIMITED), first(9, faults.NO_REPLY)]),
)


@given(
    FAULTS,
    st.lists(st.floats(0.0, 12.0), min_size=1, max_size=16),
    st.integers(1, 4),
    st.sampled_from([("http://a/v1",), ("http://a/v1", "http://b/v1")]),
)
def test_f09_a_cancelled_call_leaves_nothing_behind(
    script: faults.Script, cancelled_at: list[float], concurrency: int, base_urls: tuple[str, ...]
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
        simulation.script = faults.never
        await asyncio.sleep(301.0)  # whatever had opened may be probed by now
        assert answered(await ask_all(fleet, [100]))
        assert answered(await ask_all(fleet, range(101, 110)))

    in_fleet(simulation, body, concurrency=concurrency, base_urls=base_urls)


def test_f09_cancelled_in_the_breath_of_being_let_in() -> None:
    """F-09: a call that gets its permit and its cancellation in one step of the loop gives the permit back."""
    simulation = Simulation()

    async def body(fleet: Fleet) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.complete(request(0)))
            waiting = group.create_task(fleet.complete(request(1)))
            last = group.create_task(fleet.complete(request(2)))
            asyncio.get_running_loop().call_at(1.0, waiting.cancel)
            await asyncio.sleep(1.0)
            waiting.cancel()
        assert last.result().attempts == 1

    in_fleet(simulation, body, concurrency=1)


def test_the_snapshot_counts_what_was_sent_and_said() -> None:
    """Sends, tokens, rate and percentiles of a quiet run."""
    simulation = Simulation(latency_s=2.0)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(40))
        (status,) = fleet.snapshot()
        said = sum(outcome.usage.output_tokens for outcome in outcomes if isinstance(outcome, Completion))
        assert (status.requests, status.retries, status.output_tokens, status.limit) == (40, 0, said, 10)
        assert (status.latency_p50_s, status.latency_p95_s) == (2.0, 2.0)
        assert status.tokens_per_s == pytest.approx(said / 8.0)
        assert fleet.total_concurrency == 10

    in_fleet(simulation, body, concurrency=10)


def test_endpoints_have_names_of_their_own_and_a_url() -> None:
    """Two of one name, or one that leads nowhere, are a mistake of the caller's."""
    with pytest.raises(ValueError, match="has no URL"):
        Simulation().fleet(base_urls=())
    spec = EndpointSpec(name="e", base_urls=("http://a/v1",), model="m")
    with pytest.raises(ValueError, match="share a name"):
        Fleet([spec, spec], run_seed=1)
