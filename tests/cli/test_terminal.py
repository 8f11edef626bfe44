"""Who gets a live screen and who gets plain lines: the choice, and the real process in both."""

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from fcntl import ioctl
from io import StringIO
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from rich.console import Console

from star_agents.cli.steps import steps
from star_agents.cli.terminal import SCREEN_S, SSH_S, every_s, is_watched
from tests.process.harness import PATIENCE_S, ROOT, Run, mock_endpoint, tiny_models

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROWS, COLUMNS = 30, 80


class Terminal(StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "environ", "watched"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"CI": "true"}, False),
        (StringIO(), {}, False),
        (StringIO(), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_only_a_terminal_is_drawn_on(file: StringIO, environ: dict[str, str], *, watched: bool) -> None:
    """Not a pipe with colours forced on, and not a machine that tests."""
    console = Console(file=file, _environ={"TERM": "xterm-256color", **environ})
    assert is_watched(console, environ) is watched


def test_a_dumb_terminal_is_not_drawn_on() -> None:
    """It would show the control sequences."""
    assert not is_watched(Console(file=Terminal(), _environ={"TERM": "dumb"}), {})


def test_over_ssh_it_is_drawn_less_often() -> None:
    """The line may be slow."""
    assert every_s({"SSH_CONNECTION": "10.0.0.1 22 10.0.0.2 22"}) == SSH_S > every_s({}) == SCREEN_S


def test_long_work_is_told_in_lines_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a step, and no control sequence; on a terminal the steps stay as lines, too."""
    with steps(Console(file=StringIO()), {}) as say:
        say("fetching [bold]x[/]")
    assert capsys.readouterr().err == "fetching [bold]x[/]\n"
    screen = Terminal()
    with steps(Console(file=screen, _environ={"TERM": "xterm"}, width=80), {}) as say:
        say("fetching [bold]x[/]")
    assert "fetching [bold]x[/]" in ESCAPE.sub("", screen.getvalue())


def on_terminal(command: list[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run a command on a terminal of its own; its exit code and everything that it drew."""
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
        os.close(slave)
        try:
            drawn = read_all(master)
        except BaseException:
            process.kill()
            raise
        finally:
            os.close(master)
    return process.returncode, drawn


def read_all(master: int) -> str:
    """Everything until the other end closes."""
    parts, deadline = list[bytes](), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1.0)[0]:
            continue
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so at the end of a terminal
            break
        if not part:
            break
        parts.append(part)
    else:
        raise TimeoutError(b"".join(parts).decode(errors="replace"))
    return b"".join(parts).decode()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_process_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    """On a terminal the screen moves and the tables stay; in a pipe there are lines and not one control sequence."""
    with mock_endpoint(tmp_path, "--latency-ms", "300") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 8}})
        environ = {key: value for key, value in os.environ.items() if key not in {"CI", "NO_COLOR"}}
        environ["TERM"] = "xterm-256color"
        command = [sys.executable, "-m", "star_agents", "serve-run", str(run.config())]
        code, drawn = on_terminal(command, environ)
        assert code == 0, drawn
        text = ESCAPE.sub("", drawn)
        for part in (
            "star-agents · quickstart · starting",
            "· running ·",
            "/8 seeds, ",
            "8 seeds done",
            "pair weights",
            "agent-pairs",
        ):
            assert part in text
        assert "\x1b[?25h" in drawn  # the cursor is back
        assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
        assert "100 %" not in text.partition("agent-pairs")[0] or "finished" in text
        piped = subprocess.run(
            [*command, "--run-dir", str(tmp_path / "other")],
            cwd=ROOT,
            capture_output=True,
            check=False,
            env={**environ, "FORCE_COLOR": ""},
            timeout=PATIENCE_S,
        )
    assert piped.returncode == 0, piped.stderr.decode()
    assert b"\x1b" not in piped.stdout + piped.stderr
    assert b"running: 8 seeds to go" in piped.stderr
