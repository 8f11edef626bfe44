"""The first SIGINT or SIGTERM cancels the work in order; the second leaves at once.

For work that is durable as it goes: nothing has to be finished before it may stop.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SIGNALLED = 128
"""A shell's exit code of what a signal ended, less the signal's number."""


class StoppedError(Exception):
    """The work was stopped by a signal; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


async def stoppable(work: Coroutine[Any, Any, T], *, before_leaving: Callable[[], object]) -> T:
    """Run `work` to its end, or to the first signal. `before_leaving` is called before a second one ends the process.

    Raises:
        StoppedError: a signal came; the work has been cancelled and is over.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # a coroutine runs in one
    caught: list[int] = []

    def on_signal(number: int) -> None:
        if caught:
            before_leaving()
            os._exit(SIGNALLED + number)
        caught.append(number)
        task.cancel()

    for number in SIGNALS:  # until the loop closes, so that a second one ends even its closing
        loop.add_signal_handler(number, on_signal, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not caught:
            raise
        task.uncancel()
        raise StoppedError(caught[0]) from None
