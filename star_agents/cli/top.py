"""`star-agents top RUN`: the live screen of a run that somebody else started."""

import time
from pathlib import Path
from typing import Annotated

import typer


def top(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and no more.")] = False,
) -> None:
    """Watch a running run; Ctrl-C leaves it alone."""
    from pydantic import TypeAdapter
    from rich.console import Console
    from rich.live import Live

    from star_agents.cli.console import screen
    from star_agents.client.connection import address_of, ask
    from star_agents.service.status import RunStatus

    console, adapter = Console(), TypeAdapter(RunStatus)

    def look() -> RunStatus:
        return adapter.validate_python(ask(address_of(run), "GET", "/api/v1/status"))

    if once or not console.is_terminal:
        console.print(screen(look(), console.width))
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(screen(look(), console.width), refresh=True)
                time.sleep(every_s)
    except KeyboardInterrupt:
        return
