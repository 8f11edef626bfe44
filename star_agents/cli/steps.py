"""Long work in steps: each step is a line that stays; on a terminal the last one moves and counts its seconds."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from star_agents.cli.terminal import is_watched
from star_agents.cli.text import plain

LONGEST = 400


@contextmanager
def steps(console: Console, environ: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """Yield what is told of each step as it begins."""
    if not is_watched(console, environ):
        yield lambda step: typer.echo(step, err=True)
        return
    columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress:
        task = progress.add_task("", total=None)

        def say(step: str) -> None:
            progress.console.print(Text(step), soft_wrap=True)
            progress.reset(task, total=None, description=plain(step, LONGEST).plain.strip())

        yield say
