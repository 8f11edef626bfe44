"""Running a test's coroutine: on virtual time, or on a real loop.

On the virtual loop the clock jumps to the next timer as soon as nothing is ready to run, so a day of
deadlines passes in milliseconds. It knows nothing of sockets and threads: tests that need those run
on a real loop, uvloop and plain asyncio alike.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the coroutine would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of sleeping, adds the time it was asked to sleep to its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("every task waits and no timer is set")
        self.elapsed_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and moves only when every task waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time; a deadlock raises `DeadlockError` instead of hanging."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def run_real(main: Coroutine[Any, Any, T], *, factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run to the end on a real loop: uvloop unless told otherwise."""
    with asyncio.Runner(loop_factory=factory or uvloop.new_event_loop) as runner:
        return runner.run(main)
