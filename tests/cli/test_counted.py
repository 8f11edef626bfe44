"""Work that is counted: a bar on a terminal, seldom lines in a pipe, and nothing of short work."""

import re
from io import StringIO
from itertools import count

import pytest
from rich.console import Console

from star_agents.cli.counted import counted
from tests.cli.test_terminal import Terminal

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Ticking:
    """A clock that goes on by a step each time that it is read."""

    def __init__(self, step_s: float) -> None:
        self._times = count(0.0, step_s)

    def __call__(self) -> float:
        return next(self._times)


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred rows in a hundred seconds or so: a line in ten seconds, with what is left."""
    console = Console(file=StringIO(), get_time=Ticking(1.0))
    with counted(console, {}, "export", 100) as tell:
        for done in range(1, 101):
            tell(done)
    told = capsys.readouterr().err.splitlines()
    assert 8 <= len(told) <= 11
    assert told[0].startswith("export: 10/100, eta 1:")
    assert "\x1b" not in "".join(told)


def test_short_work_says_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """And draws nothing either."""
    screen = StringIO()
    with counted(Console(file=screen, get_time=Ticking(0.01)), {}, "report", 100) as tell:
        for done in range(1, 101):
            tell(done)
    assert capsys.readouterr().err + screen.getvalue() == ""


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is done and of how much; it is gone in the end, and no line is printed besides."""
    screen = Terminal()
    console = Console(file=screen, _environ={"TERM": "xterm"}, width=80, get_time=Ticking(1.0))
    with counted(console, {}, "replay", 7000) as tell:
        for done in (1, 3500, 5000):
            tell(done)
    assert "replay" in (drawn := ESCAPE.sub("", screen.getvalue()))
    assert "5000/7000" in drawn
    assert capsys.readouterr().err == ""
