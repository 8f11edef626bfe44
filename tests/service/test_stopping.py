"""A signal ends the work in order; a second one ends everything."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from star_agents.service.life.stopping import StoppedError, stoppable
from star_agents.service.run.blocking import Look, interruptible, opened
from tests.loops import run_real

IMPATIENT = """
import asyncio, os, signal, time
from star_agents.service.life.stopping import stoppable

async def work():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

asyncio.run(stoppable(work(), before_leaving=lambda: print("leaving", flush=True)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_work(number: signal.Signals) -> None:
    """Once it has cleaned up, the caller is told which signal it was."""
    steps: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(StoppedError) as stop:
        run_real(stoppable(work(), before_leaving=lambda: None))
    assert (stop.value.number, steps) == (number, ["cleaned up"])


def test_work_that_ends_is_left_alone() -> None:
    """Its result comes out, its error too, and a cancellation that no signal asked for stays one."""

    async def value(what: str) -> str:
        if what == "error":
            raise ValueError(what)
        if what == "cancelled":
            raise asyncio.CancelledError
        return what

    assert run_real(stoppable(value("done"), before_leaving=lambda: None)) == "done"
    with pytest.raises(ValueError, match="error"):
        run_real(stoppable(value("error"), before_leaving=lambda: None))
    with pytest.raises(asyncio.CancelledError):
        run_real(stoppable(value("cancelled"), before_leaving=lambda: None))


def test_a_second_signal_leaves_at_once() -> None:
    """Whatever the cleaning up waits for; the code is that of the second."""
    done = subprocess.run([sys.executable, "-c", IMPATIENT], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "leaving\n"), done.stderr


def test_long_work_in_a_thread_ends_when_nobody_wants_it() -> None:
    """When the cancelled task is over, so is the thread; what it raises by itself comes out."""
    ended: list[bool] = []

    def endless(look: Look) -> None:
        try:
            while True:
                look()
        finally:
            ended.append(True)

    def failing(_: Look) -> None:
        raise OSError("no space left")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(interruptible(endless))
            await asyncio.sleep(0.01)
            task.cancel()
        assert task.cancelled()
        assert ended == [True]
        assert await interruptible(lambda _: 7) == 7
        with pytest.raises(OSError, match="no space"):
            await interruptible(failing)

    run_real(main())


def test_what_is_opened_is_closed_even_if_nobody_waits() -> None:
    """A task that is cancelled while a thread opens something does not lose it."""
    steps: list[str] = []
    may_open = threading.Event()

    class Slow:
        def __init__(self) -> None:
            may_open.wait(10)
            steps.append("opened")

        def close(self) -> None:
            steps.append("closed")

    async def use() -> None:
        async with opened(Slow):
            steps.append("used")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(use())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0)
            may_open.set()
        assert task.cancelled()
        assert steps == ["opened", "closed"]
        await use()
        assert steps == ["opened", "closed", "opened", "used", "closed"]

    run_real(main())
