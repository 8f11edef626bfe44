"""What Prometheus reads: the figures of the snapshot, in a fixed set of series."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from star_agents.endpoints.meter import EndpointStatus
from star_agents.service.view.loop_lag import LagProbe
from star_agents.service.view.metrics import Health, render
from star_agents.service.view.status import RunStatus
from tests.service.service_world import status


def page(snapshot: RunStatus) -> dict[str, Metric]:
    probe = LagProbe()
    for late_s in (0.0005, 0.004, 3.0, 60.0):
        probe.note(late_s)
    content = render(snapshot, Health(lag=probe.snapshot(), stalls=1, tasks=7, wal_bytes=4096)).decode()
    return {family.name: family for family in text_string_to_metric_families(content)}


def test_the_figures_are_those_of_the_snapshot() -> None:
    """Read back by Prometheus' own parser: phases, rows, weights, endpoints, money, lag."""
    families = page(status())
    phases = {sample.labels["phase"]: sample.value for sample in families["star_agents_phase"].samples}
    assert phases["running"] == 1
    assert sum(phases.values()) == 1
    (weight,) = families["star_agents_pair_probability"].samples
    assert (weight.labels, weight.value) == ({"pair": "keep+a"}, 0.75)
    (failure,) = families["star_agents_endpoint_failures"].samples
    assert (failure.labels, failure.value) == ({"endpoint": "e", "reason": "timeout"}, 1)
    assert families["star_agents_budget_dollars"].samples[0].value == 2.0
    assert families["star_agents_store_wal_bytes"].samples[0].value == 4096
    lag = {sample.labels.get("le"): sample.value for sample in families["star_agents_event_loop_lag_seconds"].samples}
    assert (lag["0.001"], lag["0.005"], lag["5.0"], lag["+Inf"]) == (1, 2, 3, 4)


@pytest.mark.fault("F-88")
def test_odd_errors_make_no_series() -> None:
    """Ten thousand reasons that nobody foresaw are one series, and none of them is quoted."""
    odd = {f"reason {number}": 1 for number in range(10_000)} | {"timeout": 2}
    endpoint = EndpointStatus(name="e", state="ok", failures=MappingProxyType(odd), faults=MappingProxyType(odd))
    families = page(replace(status(), endpoints=(endpoint,)))
    for name in ("star_agents_endpoint_failures", "star_agents_endpoint_faults"):
        counts = {sample.labels["reason"]: sample.value for sample in families[name].samples}
        assert counts == {"other": 10_000, "timeout": 2}


def test_a_run_that_is_starting_has_a_page() -> None:
    """Before there is an engine the phase is all there is to tell, beside the process."""
    bare = RunStatus("test", status().phase, "", 0.0)
    assert page(bare)["star_agents_run_info"].samples[0].labels["run"] == "test"
