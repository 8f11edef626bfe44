"""Finding and ending processes that a run started, its own or those of an earlier run that was killed.

Laws: a process is ours only if its environment carries our mark, or if a pidfile of ours names it with the
very moment it started; it is looked at again through a descriptor that pins it before any signal is sent, so
a recycled pid is never hit. Linux only. Everything here blocks: call it in a thread.

Run as a program this file is the guard of one server: it waits for the end of its input, which is the end of
the process that started it, however that came, and then ends what that process had started. It needs nothing
but the standard library.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

RUN, SERVER, OWNER = "STAR_AGENTS_RUN", "STAR_AGENTS_SERVER", "STAR_AGENTS_OWNER"
"""The mark: names of variables that every process of a server inherits, its children's children too."""

KILL_WAIT_S = 10.0
"""SIGKILL takes a while where a process holds gigabytes."""
ROUNDS = 3
"""A dying server may start one more process; looked for again so often."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, not a number: `started` is its start time in clock ticks since the machine booted."""

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> Self | None:
        """The process that has this pid now, or None where there is none that runs."""
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return None if state == "Z" else cls(pid, int(fields[18]))

    def is_alive(self) -> bool:
        """True while this very process runs."""
        return Process.find(self.pid) == self


def mark(run_dir: Path, server: str) -> dict[str, str]:
    """The variables that mark a server of a run, started by this process."""
    return {RUN: str(run_dir.resolve()), SERVER: server, OWNER: owner()}


def owner() -> str:
    """This process, as a mark names it."""
    own = Process.find(os.getpid())
    return f"{own.pid}:{own.started}" if own else ""


def write_pidfile(path: Path, pid: int) -> None:
    """Note a process that was just started; one that is gone already is not noted."""
    if process := Process.find(pid):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(process)))


def read_pidfile(path: Path) -> Process | None:
    """The process a pidfile names, if it is still the same one."""
    try:
        noted = Process(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return noted if noted.is_alive() else None


def pidfile(run_dir: Path, server: str) -> Path:
    """Where the pidfile of a server lies."""
    return run_dir / "servers" / f"{server}.json"


def find(run_dir: Path, server: str | None = None) -> set[Process]:
    """The processes of a run's servers, or of one of them."""
    marked = _marked({RUN: str(run_dir.resolve()), **({} if server is None else {SERVER: server})})
    noted = (run_dir / "servers").glob("*.json") if server is None else [pidfile(run_dir, server)]
    return marked | {process for path in noted if (process := read_pidfile(path))}


def _marked(mark: Mapping[str, str]) -> set[Process]:
    wanted = {f"{name}={value}".encode() for name, value in mark.items()}
    return {process for process, environ in _environments() if wanted <= environ}


def _environments() -> Iterator[tuple[Process, set[bytes]]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it is gone, or another user's
            environ = (entry / "environ").read_bytes()
            if process := Process.find(int(entry.name)):
                yield process, set(environ.split(b"\0"))


def sweep(run_dir: Path, server: str | None = None, *, grace_s: float = 2.0) -> int:
    """End every process `find` finds, by SIGTERM and then by SIGKILL; return how many there were."""
    swept = 0
    for _ in range(ROUNDS):
        found = find(run_dir, server)
        if not found:
            break
        swept += end(found, grace_s=grace_s)
    for path in (run_dir / "servers").glob("*.json" if server is None else f"{server}.json"):
        path.unlink(missing_ok=True)
    return swept


def end(processes: Iterable[Process], *, grace_s: float) -> int:
    """Ask each to end, kill after `grace_s` those that have not, and wait until they are gone."""
    with ExitStack() as stack:
        pinned = [fd for process in processes if (fd := _pin(process, stack)) is not None]
        _signal_all(pinned, signal.SIGTERM)
        left = _wait_for(pinned, grace_s)
        _signal_all(left, signal.SIGKILL)
        _wait_for(left, KILL_WAIT_S)
        return len(pinned)


def _pin(process: Process, stack: ExitStack) -> int | None:
    """A descriptor of the process, closed with `stack`; None where it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return None
    stack.callback(os.close, fd)
    return fd if process.is_alive() else None


def _signal_all(pinned: Iterable[int], number: signal.Signals) -> None:
    for fd in pinned:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)


def _wait_for(pinned: list[int], wait_s: float) -> list[int]:
    """Wait until all have ended, for at most so long for each; return those that have not."""
    return [fd for fd in pinned if not _ends(fd, wait_s)]


def _ends(fd: int, wait_s: float) -> bool:
    """Wait for one; a descriptor of a process is readable when it has ended."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(1000 * wait_s))


def guard_command(run_dir: Path, server: str) -> list[str]:
    """The command line of a guard for a server of this process; its standard input must be a pipe from us."""
    named = mark(run_dir, server)
    return [sys.executable, "-I", "-S", __file__, *(f"{name}={value}" for name, value in named.items())]


def _guard(named: Iterable[str]) -> None:
    """Wait until nobody holds the other end of our input, and end what carries exactly this mark."""
    sys.stdin.buffer.read()
    wanted = dict(item.split("=", 1) for item in named)
    for _ in range(ROUNDS):
        end(_marked(wanted), grace_s=0.0)


if __name__ == "__main__":
    _guard(sys.argv[1:])
