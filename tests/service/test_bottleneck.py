"""Which stage holds the others back is decided by what is busy and has a queue."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.scoring.crew import CrewState
from star_agents.scoring.pool import PoolStatus
from star_agents.service.run.picture import eta
from star_agents.service.view.bottleneck import bottleneck, endpoint_pressure, fill, with_bottleneck
from star_agents.service.view.status import Phase, RunStatus

IDLE = PoolStatus(CrewState.READY, workers=2, busy=0, queued=0, restarts=0, samples=0, tokens=0, tokens_per_s=0.0)


def queue(name: str, depth: int, capacity: int = 16, *, senders: int = 0) -> ChannelStatistics:
    return ChannelStatistics(name, depth, capacity, depth, 0, senders, 0)


def endpoint(name: str, in_flight: int, waiting: int, limit: int = 8) -> EndpointStatus:
    return EndpointStatus(name=name, state="ok", in_flight=in_flight, limit=limit, waiting=waiting)


RUN = RunStatus(
    name="test",
    phase=Phase.RUNNING,
    message="",
    elapsed_s=1.0,
    seeds_in_flight=32,
    channels=(queue("candidates", 0), queue("unjudged", 0), queue("marked", 1, 4)),
    endpoints=(endpoint("gpt", 4, 0), endpoint("smol", 2, 0)),
    scorer=IDLE,
)


def held(status: RunStatus) -> str | None:
    found = bottleneck(status)
    return None if found is None else found.stage


def test_where_nothing_waits_nothing_is_held_back() -> None:
    """Also with every endpoint at its limit: it keeps up."""
    assert held(RUN) is None
    assert held(replace(RUN, endpoints=(endpoint("gpt", 8, 0),))) is None


def test_a_full_queue_before_busy_scorers_is_theirs() -> None:
    """An idle scorer is about to take the queue; a busy one with nothing before it keeps up."""
    full = (queue("candidates", 16), *RUN.channels[1:])
    busy = replace(IDLE, busy=2)
    assert held(replace(RUN, channels=full, scorer=busy)) == "scorer"
    assert held(replace(RUN, channels=full)) is None
    assert held(replace(RUN, scorer=busy)) is None
    assert held(replace(RUN, scorer=replace(busy, queued=4))) == "scorer"
    assert held(replace(RUN, channels=full, scorer=replace(IDLE, state=CrewState.RESTARTING))) == "scorer"


def test_the_endpoint_with_the_longest_line_is_named() -> None:
    """Calls that wait against those that may go out; paused or down it is as busy as can be."""
    assert held(replace(RUN, endpoints=(endpoint("gpt", 8, 9), endpoint("smol", 8, 30)))) == "endpoint smol"
    paused = replace(endpoint("gpt", 0, 40), state="paused", reason="rate limited")
    found = bottleneck(replace(RUN, endpoints=(paused, endpoint("smol", 8, 30))))
    assert found is not None
    assert (found.stage, found.why) == ("endpoint gpt", "paused, 40 calls wait")
    found = bottleneck(replace(RUN, endpoints=(replace(paused, state="open"),)))
    assert found is not None
    assert found.why == "no answer, 40 calls wait"  # in the word that the screens have for it


def test_of_equals_the_last_one_is_the_cause() -> None:
    """What is before a full stage is full on its account."""
    everything = replace(
        RUN,
        seeds_in_flight=16,
        channels=(queue("candidates", 16), queue("unjudged", 16), queue("marked", 16, 16, senders=2)),
        scorer=replace(IDLE, busy=2),
    )
    assert held(everything) == "learner"
    assert held(replace(everything, channels=everything.channels[:2])) == "scorer"


def test_the_snapshot_carries_it() -> None:
    """Whoever gets the snapshot gets the answer, and one that is out of date is replaced."""
    held_back = with_bottleneck(replace(RUN, endpoints=(endpoint("gpt", 8, 30),)))
    assert held_back.bottleneck == bottleneck(held_back)
    assert held_back.bottleneck is not None
    assert with_bottleneck(replace(held_back, endpoints=RUN.endpoints)).bottleneck is None


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.PAUSED, Phase.FINISHED, Phase.RESTING])
def test_who_does_not_work_has_no_bottleneck(phase: Phase) -> None:
    """A queue in a run that is paused is nobody's fault."""
    assert held(replace(RUN, phase=phase, endpoints=(endpoint("gpt", 8, 99),))) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_pressure_is_a_share(in_flight: int, waiting: int, limit: int) -> None:
    """From 0 to 1 for any numbers; none where nothing waits."""
    assert 0.0 <= endpoint_pressure(endpoint("e", in_flight, waiting, limit)) <= 1.0
    assert endpoint_pressure(endpoint("e", in_flight, 0, limit)) == 0.0
    assert 0.0 <= fill(queue("q", in_flight, waiting), limit) <= 1.0


def test_an_eta_is_only_told_where_there_is_one() -> None:
    """At the rate of late; a drain has only what is in flight before it; waiting, paused or without a rate: None."""
    assert eta(Phase.RUNNING, left=20, in_flight=4, seeds_per_s=0.5) == 40.0
    assert eta(Phase.DRAINING, left=20, in_flight=4, seeds_per_s=0.5) == 8.0
    assert eta(Phase.PAUSED, left=20, in_flight=4, seeds_per_s=0.5) is None
    assert eta(Phase.RUNNING, left=0, in_flight=0, seeds_per_s=0.5) is None
    assert eta(Phase.RUNNING, left=20, in_flight=4, seeds_per_s=0.0) is None
