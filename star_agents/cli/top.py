"""`star-agents top RUN`: the live screen of a run that somebody else started."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from star_agents.service.view.status import RunStatus


def top(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    every_s: Annotated[
        float | None, typer.Option("--every", min=0.2, help="Seconds between two looks; in a pipe, between two lines.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One look, and no more.")] = False,
) -> None:
    """Watch a running run until it ends; Ctrl-C leaves it alone. In a pipe: one line now and then."""
    from pydantic import TypeAdapter
    from rich.console import Console

    from star_agents.cli.screen import screen
    from star_agents.cli.terminal import is_watched
    from star_agents.client.connection import address_of, ask
    from star_agents.core.errors import ServiceGoneError
    from star_agents.service.view.status import RunStatus

    console, adapter = Console(), TypeAdapter(RunStatus)

    def look() -> RunStatus:
        return adapter.validate_python(ask(address_of(run), "GET", "/api/v1/status"))

    first = look()
    if once:
        console.print(screen(first, console.width))
        return
    watch = _draw if is_watched(console, os.environ) else _print_lines
    try:
        watch(console, every_s, look)
    except KeyboardInterrupt:
        return
    except ServiceGoneError:
        typer.echo(f"{run}: its service has ended; `star-agents status {run}` says where it stands")


def _draw(console: "Console", every_s: float | None, look: "Callable[[], RunStatus]") -> None:
    """Pictures until nobody answers any more."""
    from star_agents.cli import terminal, watch

    with watch.drawn_on(console, transient=False) as live:
        while True:
            watch.show(live, look())
            time.sleep(every_s or terminal.every_s(os.environ))


def _print_lines(_: "Console", every_s: float | None, look: "Callable[[], RunStatus]") -> None:
    """Lines until nobody answers any more, and none while nothing has changed."""
    from star_agents.cli.console import line
    from star_agents.cli.watch import LINE_S

    shown = ""
    while True:
        if (text := line(look())) != shown:
            typer.echo(text)
            shown = text
        time.sleep(every_s or LINE_S)
