"""A log that a process writes by itself, and that does not grow for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from star_agents.endpoints.servers.logfile import ServerLog

WRITER = """
import sys
for line in sys.stdin:
    sys.stdout.write(line)
    sys.stdout.flush()
    sys.stderr.write("ok\\n")
    sys.stderr.flush()
"""


@pytest.mark.fault("F-53")
def test_it_is_cut_under_the_pen_of_its_writer(tmp_path: Path) -> None:
    """The writer goes on at the beginning of the cut file, without a hole, and the old text lies beside it."""
    log = ServerLog(tmp_path / "logs" / "server-a.log", cap_bytes=100)
    output = log.open()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stderr is not None

        def write(line: str) -> None:
            writer.stdin.write(line)  # type: ignore[union-attr]  # asserted above
            writer.stdin.flush()  # type: ignore[union-attr]  # asserted above
            writer.stderr.readline()  # type: ignore[union-attr]  # asserted above

        write("a" * 99 + "\n")
        assert not log.rotate()
        write("last\n")
        assert log.rotate()
        assert not log.rotate()
        write("next\n")
        writer.stdin.close()
    assert log.path.read_text() == "next\n"
    assert log.previous.read_text().endswith("a\nlast\n")
    assert log.tail() == ["next"]
    assert {path.name for path in log.path.parent.iterdir()} == {"server-a.log", "server-a.log.1"}
    assert log.previous.stat().st_mode & 0o777 == 0o600


@pytest.mark.fault("F-46")
def test_the_tail_is_of_the_last_start(tmp_path: Path) -> None:
    """What an earlier start wrote is kept, and not quoted as this one's."""
    log = ServerLog(tmp_path / "server-a.log")
    for words in (b"old\n", b"new\n"):
        with open(log.open(), "wb") as output:  # noqa: PTH123  # a descriptor
            output.write(words)
    assert log.tail() == ["new"]
    assert log.path.read_text() == "old\nnew\n"
