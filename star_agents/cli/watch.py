"""A run as it goes on: a live screen where a person looks at a terminal, a plain line now and then anywhere else."""

import asyncio
import logging
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from star_agents.cli.console import line
from star_agents.cli.screen import screen
from star_agents.service.view.status import RunStatus

LINE_S = 10.0
"""One plain line in ten seconds, where nobody watches a screen."""

Look = Callable[[], RunStatus]

log = logging.getLogger(__name__)


def drawn_on(console: Console, *, transient: bool) -> Live:
    """A place on a terminal where pictures follow each other. What its encoding lacks is shown as a question mark."""
    reconfigure = getattr(console.file, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return Live(console=console, auto_refresh=False, transient=transient, vertical_overflow="crop")


def show(live: Live, status: RunStatus) -> None:
    """Draw one picture, in whatever size the terminal has now."""
    size = live.console.size
    live.update(screen(status, size.width, size.height - 1), refresh=True)


async def draw(console: Console, pause_s: float, look: Look) -> None:
    """Keep the screen up to date until cancelled."""
    with drawn_on(console, transient=True) as live:
        while True:
            show(live, look())
            await asyncio.sleep(pause_s)


async def log_lines(look: Look) -> None:
    """Log a line now and then until cancelled, and none while nothing has changed."""
    shown = ""
    while True:
        await asyncio.sleep(LINE_S)
        if (text := line(look())) != shown:
            log.info("%s", text)
            shown = text
