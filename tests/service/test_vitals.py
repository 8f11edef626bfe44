"""The pulse of a process: lag is measured, a stall is noticed and written down, systemd hears of it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from star_agents.service.life.notify import Notifier, watchdog_s
from star_agents.service.life.vitals import Vitals
from star_agents.service.life.watchdog import MAX_DUMPS, Watchdog
from star_agents.service.view.loop_lag import LagProbe
from tests.loops import run_real

LOOPS = pytest.mark.parametrize("factory", [None, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
Factory = Callable[[], asyncio.AbstractEventLoop] | None


def wait_for_a_file(folder: Path) -> None:
    while not list(folder.iterdir()):
        time.sleep(0.01)


async def long_wait() -> None:
    await asyncio.Event().wait()


@LOOPS
@pytest.mark.fault("F-67")
def test_a_stalled_loop_is_written_down(tmp_path: Path, factory: Factory) -> None:
    """One file a stall, with the place that holds the loop up and what every task waits for; then life goes on."""
    watchdog = Watchdog(tmp_path, stall_s=0.2)

    async def main() -> None:
        probe = LagProbe(watchdog.beat)
        with watchdog.watching():
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(long_wait(), name="patient"), group.create_task(probe.run())]
                await asyncio.sleep(0.1)
                time.sleep(1.0)  # noqa: ASYNC251  # the stall
                await asyncio.sleep(0.1)
                for other in others:
                    other.cancel()
        assert probe.snapshot().max_s > 0.5

    run_real(main(), factory=factory)
    assert watchdog.stalls == 1
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    assert "has stood still for" in text
    assert "time.sleep(1.0)" in text
    assert "task patient" in text
    assert "await asyncio.Event().wait()" in text


@pytest.mark.fault("F-69")
def test_stacks_are_written_on_request_and_not_without_end(tmp_path: Path) -> None:
    """SIGUSR1 shows what a process hangs on; a disk is not filled with that."""
    vitals = Vitals(tmp_path, {})

    async def main() -> None:
        async with vitals.taken():
            os.kill(os.getpid(), signal.SIGUSR1)
            async with asyncio.timeout(10):
                await asyncio.to_thread(wait_for_a_file, tmp_path)

    run_real(main())
    for _ in range(MAX_DUMPS):
        vitals.watchdog.dump("again")
    assert len(list(tmp_path.iterdir())) == MAX_DUMPS


def test_lag_is_that_of_the_last_minute() -> None:
    """Percentiles forget, the histogram does not."""
    probe = LagProbe()
    probe.note(7.0)
    for _ in range(1200):
        probe.note(0.001)
    shown = probe.snapshot()
    assert (shown.p50_s, shown.p99_s, shown.max_s) == (0.001, 0.001, 0.001)
    assert sum(shown.buckets) == 1201
    assert shown.sum_s == pytest.approx(8.2)


def test_systemd_hears_whole_messages(tmp_path: Path) -> None:
    """One datagram a message, line ends taken out of what people wrote; nobody listening holds nothing up."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path})
        notifier.ready("24 seeds\nto go")
        notifier.stopping()
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1\nSTATUS=24 seeds to go", b"STOPPING=1"]
    notifier.alive()
    notifier.close()
    notifier.alive()
    Notifier({}).ready("nobody asked")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_systemd_wants_to_hear(environ: dict[str, str], expected: float | None) -> None:
    """Twice as often as it would lose patience, and only the process that is meant."""
    assert watchdog_s(environ, 7) == expected
