"""What every test runs under: no blocking call on an event loop, and hypothesis the same everywhere."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail any test in which the package makes a blocking call on an event loop."""
    with blockbuster_ctx("star_agents"):
        yield
