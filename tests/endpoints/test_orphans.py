"""Finding and ending processes by their mark, and never anybody else's."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from star_agents.endpoints.servers import orphans
from star_agents.endpoints.servers.orphans import Process

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(1, flush=True); {SLEEP}"


@contextmanager
def running(program: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this environment, once it has said that it is ready, and killed in the end."""
    ready = "print(0, flush=True); " + program
    with subprocess.Popen(
        [sys.executable, "-c", ready], env={**os.environ, **environ}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(1 + program.count("print(1")):
            process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_process_is_its_pid_and_its_start() -> None:
    """Another start time is another process, and a dead one is none."""
    own = Process.find(os.getpid())
    assert own is not None
    assert own.is_alive()
    assert not Process(own.pid, own.started - 1).is_alive()
    with running(SLEEP, {}) as child:
        found = Process.find(child.pid)
        child.kill()
        child.wait()
        assert found is not None
        assert not found.is_alive()


def test_only_the_marked_are_found(tmp_path: Path) -> None:
    """By run, by server of a run; another run's, another server's and unmarked ones are not."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with ExitStack() as stack:
        first = stack.enter_context(running(SLEEP, orphans.mark(ours, "a")))
        second = stack.enter_context(running(SLEEP, orphans.mark(ours, "b")))
        stack.enter_context(running(SLEEP, orphans.mark(theirs, "a")))
        stack.enter_context(running(SLEEP, {}))
        assert {process.pid for process in orphans.find(ours)} == {first.pid, second.pid}
        assert {process.pid for process in orphans.find(ours, "b")} == {second.pid}


@pytest.mark.fault("F-49")
def test_a_sweep_ends_children_of_children_and_the_stubborn(tmp_path: Path) -> None:
    """SIGTERM first, then SIGKILL; whoever inherited the mark goes, and the neighbours stay."""
    mark = orphans.mark(tmp_path, "a")
    with running(PARENT, mark) as parent, running(STUBBORN, mark) as stubborn, running(SLEEP, {}) as neighbour:
        assert orphans.sweep(tmp_path, grace_s=0.2) == 3
        assert orphans.find(tmp_path) == set()
        assert parent.wait() == -signal.SIGTERM
        assert stubborn.wait() == -signal.SIGKILL
        assert neighbour.poll() is None
        assert orphans.sweep(tmp_path) == 0


@pytest.mark.fault("F-49")
def test_a_pidfile_is_believed_only_for_the_very_process(tmp_path: Path) -> None:
    """A recycled pid has another start time, and is left alone."""
    path = orphans.pidfile(tmp_path, "a")
    with running(SLEEP, {}) as unmarked:
        orphans.write_pidfile(path, unmarked.pid)
        noted = json.loads(path.read_text())
        path.write_text(json.dumps({**noted, "started": noted["started"] + 1}))
        assert orphans.find(tmp_path) == set()
        path.write_text(json.dumps(noted))
        assert {process.pid for process in orphans.find(tmp_path, "a")} == {unmarked.pid}
        assert orphans.sweep(tmp_path) == 1
        assert not path.exists()


@pytest.mark.parametrize("text", ["", "7", "{", '{"pid": 1}', "[]"])
def test_a_broken_pidfile_names_nobody(tmp_path: Path, text: str) -> None:
    """A file cut off by a crash is no reason to stop."""
    path = orphans.pidfile(tmp_path, "a")
    path.parent.mkdir()
    path.write_text(text)
    assert orphans.read_pidfile(path) is None
    assert orphans.sweep(tmp_path) == 0
