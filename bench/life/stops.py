"""One start of a run, ended by signals at a moment of its life: what it did, and whether anything outlived it.

Law: whatever a start has begun becomes a child of this process when its parent dies (`PR_SET_CHILD_SUBREAPER`), so an
orphan cannot hide. Only what the run itself began counts; the mock endpoint is ours.
"""

import ctypes
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from star_agents.client.connection import address_of, ask
from star_agents.core.errors import ServiceGoneError, ServiceRefusedError
from tests.process.harness import PATIENCE_S, Run

PR_SET_CHILD_SUBREAPER = 36
LOOK_S = 0.002
GONE_S = 30.0
"""An orphan is given so long to see that its parent is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When to send what: `after_s` from the process's start, or from its first plan; the second follows in `gap_s`."""

    numbers: Sequence[signal.Signals]
    is_running: bool
    after_s: float
    gap_s: float = 0.0

    @property
    def name(self) -> str:
        """For a table."""
        return " ".join(number.name for number in self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What came of it, in seconds from the last signal; `draining_s` from the first, None where it was not seen."""

    moment: Moment
    code: int
    took_s: float
    draining_s: float | None
    planned_at_stop: int | None
    """Seeds taken in, when it said that it was draining."""
    planned: int | None
    """The same in the last answer that it gave."""
    gone_s: float
    """Until none of its processes was left, after its own end."""
    orphans: int
    """Processes of its that were left after `GONE_S`."""
    said: str


def adopt_orphans() -> None:
    """Be the parent of whatever loses its own.

    Raises:
        OSError: the system does not know the call.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def stop(run: Run, moment: Moment) -> Stopped:
    """Start a run, wait for the moment, send the signals and watch it end."""
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    process = run.start()
    if moment.is_running:
        _wait_for_work(run, process)
    time.sleep(moment.after_s)
    began_at = time.monotonic()
    process.send_signal(moment.numbers[0])
    watched = _Watched(run, began_at)
    for number in moment.numbers[1:]:
        watched.until(process, began_at + moment.gap_s)
        began_at = time.monotonic()
        process.send_signal(number)
    watched.until(process, began_at + PATIENCE_S)
    took_s = time.monotonic() - began_at
    if process.poll() is None:
        raise TimeoutError(f"{moment.name}: it has not ended in {PATIENCE_S:g} s: {run.output()}")
    gone_s, orphans = _left(ours | {process.pid})
    return Stopped(
        moment=moment,
        code=process.returncode,
        took_s=took_s,
        draining_s=watched.draining_s,
        planned_at_stop=watched.planned_at_stop,
        planned=watched.planned,
        gone_s=gone_s,
        orphans=orphans,
        said=run.output(),
    )


class _Watched:
    """Asks a run for its phase over and over, from the first signal on."""

    def __init__(self, run: Run, began_at: float) -> None:
        self._run = run
        self._began_at = began_at
        self.draining_s: float | None = None
        self.planned_at_stop: int | None = None
        self.planned: int | None = None

    def until(self, process: "subprocess.Popen[str]", deadline: float) -> None:
        """Look until the process has ended, or the deadline has passed."""
        while process.poll() is None and time.monotonic() < deadline:
            self._look()
            time.sleep(LOOK_S)

    def _look(self) -> None:
        try:
            told = ask(address_of(self._run.run_dir), "GET", "/api/v1/status")
        except (ServiceGoneError, ServiceRefusedError):
            return
        self.planned = told["seeds_done"] + told["seeds_in_flight"]
        if self.draining_s is None and told["phase"] in {"draining", "finished"}:
            self.draining_s = time.monotonic() - self._began_at
            self.planned_at_stop = self.planned


def _wait_for_work(run: Run, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            told = ask(address_of(run.run_dir), "GET", "/api/v1/status")
        except (ServiceGoneError, ServiceRefusedError):
            told = {}
        if told.get("seeds_in_flight"):
            return
        time.sleep(0.05)
    raise TimeoutError(f"it takes in no seed: {run.output()}")


def _left(known: set[int]) -> tuple[float, int]:
    """How long processes that nobody of ours began were there, and how many are for good; ends those."""
    began_at = time.monotonic()
    while left := [one for one in psutil.Process().children(recursive=True) if one.pid not in known]:
        for one in left:
            if one.status() == psutil.STATUS_ZOMBIE:
                one.wait()
        if time.monotonic() > began_at + GONE_S:
            for one in left:
                one.kill()
            return GONE_S, len(left)
        time.sleep(LOOK_S)
    return time.monotonic() - began_at, 0
