"""Which controller an endpoint begins with, from what is known of it."""

from typing import Any

import pytest

from star_agents.endpoints import pace
from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.aimd import Aimd
from star_agents.traffic.control import Cap
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.gradient import Gradient

API, SERVER = ("https://api.example/v1",), ("http://127.0.0.1:8000/v1",)


@pytest.mark.parametrize(
    ("base_urls", "changes", "controller", "has_figures"),
    [
        (API, {}, Aimd, False),
        (SERVER, {}, Gradient, True),
        (SERVER, {"requests_per_minute": 60}, Aimd, False),
        (SERVER, {"pacing": "aimd"}, Aimd, False),
        (API, {"pacing": "knee"}, Gradient, True),
        (API, {"pacing": "gradient"}, Gradient, False),
        (API, {"pacing": "fixed"}, Fixed, False),
        (SERVER, {"concurrency": 1}, Fixed, False),
    ],
)
def test_a_controller_for_what_is_known(
    base_urls: tuple[str, ...], changes: dict[str, Any], controller: type[Cap], has_figures: bool
) -> None:
    """An account with limits learns from refusals; a server that queues from its figures, or from latency."""
    spec = EndpointSpec(**{"name": "e", "base_urls": base_urls, "model": "m", "pacing": "auto", **changes})
    first = pace.first_controller(spec)
    assert isinstance(first, controller)
    assert 1 <= first.limit <= spec.concurrency
    assert pace.may_show_figures(spec) is has_figures
