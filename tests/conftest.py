"""What every test runs under: no blocking call on an event loop, and hypothesis the same everywhere.

Tests marked `slow` (real models, crash loops) are left out of the everyday run; `--slow` adds them, and so
does the variable CI, which the gate sets.
"""

import os
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or os.environ.get("CI"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail any test in which the package makes a blocking call on an event loop."""
    with blockbuster_ctx("star_agents"):
        yield
