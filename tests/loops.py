"""Running a test's coroutine: on the package's virtual time, or on a real loop.

Tests that need sockets or threads run on a real loop, uvloop and plain asyncio alike.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from star_agents.lab.virtual import DeadlockError, VirtualLoop, run_virtual

__all__ = ["DeadlockError", "VirtualLoop", "run_real", "run_virtual"]

T = TypeVar("T")


def run_real(main: Coroutine[Any, Any, T], *, factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run to the end on a real loop: uvloop unless told otherwise."""
    with asyncio.Runner(loop_factory=factory or uvloop.new_event_loop) as runner:
        return runner.run(main)
