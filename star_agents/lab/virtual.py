"""An event loop on virtual time: when nothing is ready to run, its clock jumps to the next timer.

Law: `time()` starts at 0 and moves only while every task waits, so a day of deadlines passes in milliseconds and
the same program does the same thing every time. It knows nothing of sockets and threads: what waits for one of
those waits for ever, and is told so.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the coroutine would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of sleeping, adds the time it was asked to sleep to its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # callbacks are ready: looking at files would be all that a turn of the loop costs
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
        """Seconds on the virtual clock."""
        return self._jumping.elapsed_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time.

    Raises:
        DeadlockError: every task waits, and for nothing that a clock could bring.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
