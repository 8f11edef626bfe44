"""The one loop of retries, on virtual time: what each fault costs a call, and what it costs the others."""

import asyncio
from collections import Counter

import pytest

from star_agents.core import clock
from star_agents.core.calls import Completion, FinishReason
from star_agents.core.errors import (
    BadRequestError,
    ContextOverflowError,
    EmptyReplyError,
    FilteredReplyError,
    OverloadedError,
    ReasoningOnlyError,
    StarError,
    TimedOutError,
    UnreadableReplyError,
)
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock import catalogue
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import Chance, always, first, in_turn
from tests.endpoints.simulated import Simulation, answered, ask_all, in_fleet, request


@pytest.mark.fault("F-16")
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


@pytest.mark.fault("F-18", "F-19")
def test_f18_f19_after_a_pause_the_gate_lets_in_no_more_than_its_limit() -> None:
    """F-18, F-19: 500 waiters behind a 429 without a time do not come back as a herd."""
    simulation = Simulation(first(10, catalogue.LIMITED))

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
            assert 4.0 <= (status.paused_for_s or 0.0) <= 5.0

    in_fleet(simulation, body)


@pytest.mark.fault("F-23")
def test_f23_a_full_context_is_the_requests_own_fault() -> None:
    """F-23: it fails once, for good, and never counts against the endpoint, however many there are."""
    simulation = Simulation(lambda seen: catalogue.TOO_LONG if seen.body["seed"] < 40 else None)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(50))
        assert sum(isinstance(outcome, ContextOverflowError) for outcome in outcomes) == 40
        assert len(simulation.sends) == 50
        assert fleet.snapshot()[0].failures == {"context_overflow": 40}

    in_fleet(simulation, body)


@pytest.mark.fault("F-24")
def test_f24_one_poison_item_in_a_thousand() -> None:
    """F-24: it fails alone, after one send."""
    simulation = Simulation(lambda seen: catalogue.BAD_REQUEST if seen.body["seed"] == 500 else None)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(1000))
        assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, BadRequestError)] == [500]
        assert len(simulation.sends) == 1000

    in_fleet(simulation, body)


@pytest.mark.fault("F-25")
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


@pytest.mark.fault("F-25")
def test_f25_a_server_may_say_that_a_retry_is_no_use() -> None:
    """F-25: `x-should-retry: false` is obeyed."""
    simulation = Simulation(always(failing(500, None, **{"x-should-retry": "false"})))

    async def body(fleet: Fleet) -> None:
        assert not answered(await ask_all(fleet, [1]))
        assert len(simulation.sends) == 1

    in_fleet(simulation, body)


@pytest.mark.fault("F-43")
def test_f43_a_silent_change_of_model_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """F-43: the new name is on the record of each answer, in the status, and in one line of the log."""
    simulation = Simulation(lambda seen: catalogue.CATALOGUE["renamed"] if seen.body["seed"] >= 5 else None)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(10))
        names = {outcome.model for outcome in outcomes if isinstance(outcome, Completion)}
        assert len(names) == 2
        assert set(fleet.snapshot()[0].models) == names

    in_fleet(simulation, body)
    assert len([line for line in caplog.messages if "answers now, before it was m" in line]) == 1


@pytest.mark.fault("F-32")
def test_f32_a_slow_answer_is_waited_for_and_not_asked_for_twice() -> None:
    """F-32: one send a call, however slow some answers are: a second one costs twice and favours the short."""
    simulation = Simulation(lambda seen: Fault(name="slow", delay_s=50.0) if seen.body["seed"] % 10 == 0 else None)

    async def body(fleet: Fleet) -> None:
        assert answered(await ask_all(fleet, range(100)))
        assert set(simulation.times.values()) == {1}

    in_fleet(simulation, body)


@pytest.mark.fault("F-06")
def test_f06_a_black_hole_is_left_in_time() -> None:
    """F-06: a call that hears nothing ends by its deadlines, and others have not waited for it."""
    simulation = Simulation(lambda seen: catalogue.BLACK_HOLE if seen.body["seed"] == 0 else None, timeout_s=60.0)

    async def body(fleet: Fleet) -> None:
        outcomes = await ask_all(fleet, range(4))
        assert [type(outcome) for outcome in outcomes] == [TimedOutError, Completion, Completion, Completion]
        assert clock.now() <= 4 * 60.0 + 3.5

    in_fleet(simulation, body, concurrency=2)


@pytest.mark.parametrize(
    ("fault", "error", "sends"),
    [
        pytest.param(catalogue.ERROR_INSIDE, OverloadedError, 4, id="f_28"),
        pytest.param(catalogue.HTML, UnreadableReplyError, 4, id="f_29-html"),
        pytest.param(catalogue.NOTHING, UnreadableReplyError, 4, id="f_29-empty-body"),
        pytest.param(catalogue.NO_CHOICES, UnreadableReplyError, 4, id="f_36"),
        pytest.param(catalogue.SILENT, EmptyReplyError, 3, id="f_37-empty"),
        pytest.param(catalogue.THINKING, ReasoningOnlyError, 3, id="f_37-reasoning"),
        pytest.param(catalogue.REFUSED, FilteredReplyError, 1, id="f_39"),
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


@pytest.mark.fault("F-37")
def test_f37_a_new_sample_is_new() -> None:
    """F-37: another seed each time, and more room where the model spent it all on thinking."""
    simulation = Simulation(in_turn([catalogue.SILENT, catalogue.THINKING]))

    async def body(fleet: Fleet) -> None:
        (outcome,) = await ask_all(fleet, [5])
        assert isinstance(outcome, Completion)
        assert outcome.attempts == 3
        assert [send.body["seed"] for send in simulation.sends] == [5, 6, 7]
        assert [send.body["max_tokens"] for send in simulation.sends] == [200, 200, 400]

    in_fleet(simulation, body)


@pytest.mark.fault("F-38")
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


@pytest.mark.fault("F-38")
def test_f38_what_was_cut_short_is_still_an_answer() -> None:
    """F-38: when the longer one cannot be had, the short one is returned."""

    async def body(fleet: Fleet) -> None:
        completion = await fleet.complete(request(1, max_tokens=5))
        assert (completion.finish_reason, completion.usage.output_tokens) == (FinishReason.LENGTH, 5)
        assert fleet.snapshot()[0].failures == {}

    in_fleet(Simulation(in_turn([None, catalogue.TOO_LONG])), body)


@pytest.mark.fault("F-38")
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


def test_the_same_run_backs_off_the_same() -> None:
    """Jitter is named by the call, so a run repeats itself to the instant."""

    def times() -> list[float]:
        simulation = Simulation(Chance(0.4, seed=5))

        async def body(fleet: Fleet) -> None:
            await ask_all(fleet, range(40))

        in_fleet(simulation, body, concurrency=8)
        return [send.at for send in simulation.sends]

    assert times() == times()


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
        assert fleet.total_limit == 10

    in_fleet(simulation, body, concurrency=10)


def test_endpoints_have_names_of_their_own_and_a_url() -> None:
    """Two of one name, or one that leads nowhere, are a mistake of the caller's."""
    with pytest.raises(ValueError, match="has no URL"):
        Simulation().fleet(base_urls=())
    spec = EndpointSpec(name="e", base_urls=("http://a/v1",), model="m")
    with pytest.raises(ValueError, match="share a name"):
        Fleet([spec, spec], run_seed=1)
