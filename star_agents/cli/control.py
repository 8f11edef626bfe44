"""`star-agents pause|resume|drain RUN`: a running run steered by hand."""

from pathlib import Path
from typing import Annotated

import typer

RUN = typer.Argument(help="The run folder.")


def pause(run: Annotated[Path, RUN]) -> None:
    """Let a run take in no more seeds; what is planned is finished, and `resume` goes on."""
    _order(run, "pause")


def resume(run: Annotated[Path, RUN]) -> None:
    """Let a paused run take in seeds again."""
    _order(run, "resume")


def drain(run: Annotated[Path, RUN]) -> None:
    """Let a run finish what is planned, export and end, as its first SIGTERM does."""
    _order(run, "drain")


def _order(run: Path, verb: str) -> None:
    from star_agents.client.connection import address_of, ask

    typer.echo(ask(address_of(run), "POST", f"/api/v1/{verb}")["phase"])
