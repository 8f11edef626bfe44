"""Real loops for sockets and processes: uvloop, which the package runs on, and plain asyncio."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.loops import run_real

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on the loop of the parameter's name."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else None
    return lambda main: run_real(main, factory=factory)
