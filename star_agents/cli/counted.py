"""Long work over things that can be counted: a bar on a terminal, a plain line now and then anywhere else.

Law: work is not slowed by being told of, and short work says nothing in a pipe.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from star_agents.cli.terminal import is_watched
from star_agents.cli.text import duration

BAR_S = 0.1
LINE_S = 10.0
"""One plain line in ten seconds at most."""

Tell = Callable[[int], None]
"""Told how many things are done, as often as is handy, from any thread."""


@contextmanager
def counted(console: Console, environ: Mapping[str, str], what: str, total: int) -> Iterator[Tell]:
    """Yield what is to be told how many of `total` things are done."""
    if not is_watched(console, environ):
        began = console.get_time()
        yield _paced(console, LINE_S, lambda done: _say(what, done, total, console.get_time() - began))
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield _paced(console, BAR_S, lambda done: bar.update(task, completed=done))


def _paced(console: Console, pause_s: float, show: Tell) -> Tell:
    """Hand on what is told only now and then: a bar that is moved a million times costs more than the work."""
    last = console.get_time()

    def tell(done: int) -> None:
        nonlocal last
        if (now := console.get_time()) - last >= pause_s:
            last = now
            show(done)

    return tell


def _say(what: str, done: int, total: int, elapsed_s: float) -> None:
    left = elapsed_s * (total - done) / done if done else None
    typer.echo(f"{what}: {done}/{total}, eta {duration(left)}", err=True)
