"""What every test runs under: no blocking call on an event loop, and hypothesis the same everywhere.

Tests marked `slow` (real models, crash loops) are left out of the everyday run; `--slow` adds them, and so
does the variable CI, which the gate sets. `--fault F-16` runs the tests of one row of docs/faults.md.
"""

import os
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),  # the gate asks the same of every commit; chance is for the everyday run
)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption("--fault", metavar="F-NN", help="run only the tests of this fault, slow ones too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if fault := config.getoption("--fault"):
        left_out = [item for item in items if not any(fault in marker.args for marker in item.iter_markers("fault"))]
    elif config.getoption("--slow") or os.environ.get("CI"):
        left_out = []
    else:
        left_out = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail any test in which the package makes a blocking call on an event loop."""
    with blockbuster_ctx("star_agents"):
        yield
