"""Takes the pictures of docs/terminal.md: `python -m tests.cli.shoot`, from a real run against mock servers.

It takes about a minute. Look at the pictures before they are kept.
"""

import re
import time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme
from rich.text import Text

from star_agents.cli.screen import screen
from star_agents.client.connection import ask
from star_agents.service.run.address import Address
from star_agents.service.view.status import RunStatus
from tests.process.harness import ROOT
from tests.web.stage import address_when_ready, on_stage

IMAGES = ROOT / "docs" / "img"
NUM_SEEDS, ENOUGH = 700, 240
SIZES = {"terminal-80": (80, 46), "terminal-160": (160, 42)}
LOOK_S = 0.2
MOST_LOOKS = 1500

SVG = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Without the fonts that a reader's browser would fetch from elsewhere."""


def main() -> None:
    """Run, and take both pictures at the same moment, one at which something holds the others back."""
    with (
        TemporaryDirectory() as folder,
        on_stage(Path(folder), num_seeds=NUM_SEEDS, latency_ms=150) as run,
    ):
        run.changes["run"] = {"name": "star-instruct"}
        process = run.start()
        try:
            status = seen(address_when_ready(run, process))
        finally:
            process.kill()
            process.wait()
    for name, (width, height) in SIZES.items():
        shoot(name, status, width, height)


def seen(address: Address) -> RunStatus:
    """The first picture after enough seeds in which an endpoint is paused; or the last of many."""
    adapter = TypeAdapter(RunStatus)
    status = adapter.validate_python(ask(address, "GET", "/api/v1/status"))
    for _ in range(MOST_LOOKS):
        has_pause = any(endpoint.state != "ok" for endpoint in status.endpoints)
        if status.seeds_done >= ENOUGH and (has_pause or status.seeds_done >= 2 * ENOUGH):
            break
        time.sleep(LOOK_S)
        status = adapter.validate_python(ask(address, "GET", "/api/v1/status"))
    return status


def shoot(name: str, status: RunStatus, width: int, height: int, theme: TerminalTheme = DIMMED_MONOKAI) -> None:
    """Draw it as the terminal would, into an SVG."""
    console = Console(record=True, file=StringIO(), width=width, height=height, force_terminal=True)
    console.print(Text("$ star-agents serve-run star-instruct.yaml", style="dim"))
    console.print(screen(status, width, height - 2))
    console.save_svg(str(IMAGES / f"{name}.svg"), title="star-agents", code_format=SVG, theme=theme)


if __name__ == "__main__":
    main()
