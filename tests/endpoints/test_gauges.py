"""A vLLM server's own figures: read from its page, and what an endpoint makes of them."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import clock
from star_agents.core.errors import ConnectFailedError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.gauges import LOOK_S, RARELY_S, parse_gauges, together, watch
from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.knee import Gauges
from tests.endpoints.simulated import SimulatedReplica, Simulation, ask_all
from tests.loops import run_virtual

PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 77.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0",model_name="m"} 5.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.8e+09
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 1000.0
vllm:generation_tokens_total{engine="1",model_name="m"} 24.0
process_cpu_seconds_total 12.5
"""
FIGURES = Gauges(running=7, waiting=2, kv_usage=0.75, preemptions=5, generation_tokens=1024)


def test_engines_of_one_server_are_added_up() -> None:
    """Each engine has a label of its own; the fullest cache counts; names that only begin alike do not."""
    assert parse_gauges(PAGE) == FIGURES


@pytest.mark.parametrize(
    "page", ["", "not metrics at all", "<html></html>", PAGE.replace("3.0", "NaN"), PAGE.replace('"m"} 2.0', "")]
)
def test_a_page_that_is_no_vllms_says_nothing(page: str) -> None:
    """No figures are made up."""
    assert parse_gauges(page) is None


@given(st.text(max_size=200))
def test_no_page_is_fatal(junk: str) -> None:
    """Whatever stands among the lines, the page is read or it is not."""
    found = parse_gauges(PAGE + "vllm:num_requests_running" + junk)
    assert found is None or isinstance(found, Gauges)


def test_replicas_count_together() -> None:
    """Sums, and the fullest cache."""
    other = replace(FIGURES, kv_usage=0.9)
    assert together([FIGURES, other]) == Gauges(14, 4, 0.9, 10, 2048)


class Showing(SimulatedReplica):
    """A replica with a page of metrics from the third look on."""

    looks: int = 0

    async def read_metrics(self) -> RawReply:
        type(self).looks += 1
        if self.looks == 1:
            raise ConnectFailedError("starting")
        return RawReply(200, {}, b"" if self.looks == 2 else PAGE.encode(), 0.0, clock.wall())


def test_a_server_that_shows_nothing_is_asked_rarely() -> None:
    """It may be starting, or be no vLLM; once it shows figures they are read every second."""
    seen: list[float] = []

    async def main() -> None:
        Showing.looks = 0
        replica = Showing(Simulation(), EndpointSpec(name="e", base_urls=("http://a/v1",), model="m"), "http://a/v1")
        async with asyncio.timeout(2 * RARELY_S + 3.5 * LOOK_S):
            await watch([replica], lambda _: seen.append(clock.now()))

    with pytest.raises(TimeoutError):
        run_virtual(main())
    assert seen == [2 * RARELY_S + step * LOOK_S for step in range(4)]


def test_the_servers_figures_take_over_the_pace() -> None:
    """An endpoint paced by latency for want of better is paced by the figures as soon as there are any."""
    simulation = Simulation()
    spec = EndpointSpec(name="e", base_urls=("http://a/v1",), model="m", concurrency=64, pacing="auto")

    async def main() -> None:
        Showing.looks = 2
        async with Fleet([spec], 7, connect=lambda spec, url: Showing(simulation, spec, url)) as fleet:
            before = fleet.snapshot()[0].limit
            await ask_all(fleet, range(200))
            (status,) = fleet.snapshot()
            assert before == 8
            assert "server" in status.limit_reason  # latency alone would not know of one

    run_virtual(main())
    assert Showing.looks > 3
