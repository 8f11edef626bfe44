"""Notices that the event loop stands still, and writes down what every task and thread was doing.

Law: it runs in a thread of its own, so nothing that holds the loop up can hold it up; one stall is one file, and a run
leaves at most `MAX_DUMPS` of them. Stacks hold places of code and no values.
"""

import asyncio
import io
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from star_agents.core import clock

STALL_S = 10.0
"""A loop that has not come round for so long stands still; the worst that is meant to happen is a quarter second."""

MAX_DUMPS = 20

log = logging.getLogger(__name__)


class Watchdog:
    """Watches one loop; `beat` is to be called from it, several times a second."""

    def __init__(self, folder: Path, *, stall_s: float = STALL_S) -> None:
        self._folder = folder
        self._stall_s = stall_s
        self._beaten_at = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self.stalls = 0
        """Since the start."""
        self.dumps = 0

    @property
    def tasks(self) -> int:
        """Tasks of the loop now, from any thread."""
        return len(_tasks(self._loop))

    def beat(self) -> None:
        """The loop runs."""
        self._beaten_at = time.monotonic()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop while the block lasts."""
        self._loop = asyncio.get_running_loop()
        self.beat()
        thread = threading.Thread(target=self._watch, name="star-agents-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()

    def dump(self, why: str) -> Path | None:
        """Write down every stack; None where there are enough of them, or the disk takes no more. Blocks."""
        if self.dumps >= MAX_DUMPS:
            return None
        self.dumps += 1
        file = self._folder / f"stacks-{self.dumps}.txt"
        try:
            file.write_text(f"{clock.wall()} {why}\n\n{stacks(self._loop)}", encoding="utf-8")
        except OSError as error:
            log.warning("%s: cannot be written: %s", file, error.strerror)
            return None
        log.error("%s: what every task and thread was doing is in %s", why, file)
        return file

    def _watch(self) -> None:
        is_told = False
        while not self._ended.wait(self._stall_s / 5):
            silent_s = time.monotonic() - self._beaten_at
            if silent_s < self._stall_s:
                is_told = False
            elif not is_told:
                is_told = True
                self.stalls += 1
                self.dump(f"the event loop has stood still for {silent_s:.0f} s")


def stacks(loop: asyncio.AbstractEventLoop | None) -> str:
    """The stack of every thread, and of every task of a loop."""
    text = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  # the documented way to other threads' stacks
        text.write(f"thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}\n")
    for task in _tasks(loop):
        text.write(f"task {task.get_name()}\n")
        for frame in task.get_stack():
            text.writelines(traceback.format_list(traceback.extract_stack(frame, limit=1)))
        text.write("\n")
    return text.getvalue()


def _tasks(loop: asyncio.AbstractEventLoop | None) -> list["asyncio.Task[object]"]:
    try:
        return [] if loop is None else list(asyncio.all_tasks(loop))
    except RuntimeError:  # it moved while we looked: then it does not stand still
        return []
