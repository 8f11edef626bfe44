"""`star-agents pause|resume|drain|retune RUN`: a running run steered by hand."""

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


def retune(
    run: Annotated[Path, RUN],
    assignments: Annotated[list[str], typer.Argument(help="Such as endpoints.gpt.requests_per_minute=200.")],
) -> None:
    """Set rates, concurrency or the budget of a running run, until it ends; null takes a limit away."""
    from star_agents.client.connection import address_of, ask
    from star_agents.service.config.overrides import assigned

    values = dict(assigned(assignment) for assignment in assignments)
    for path, value in ask(address_of(run), "POST", "/api/v1/retune", {"values": values}).items():
        typer.echo(f"{path}: {value}")


def _order(run: Path, verb: str) -> None:
    from star_agents.client.connection import address_of, ask

    typer.echo(ask(address_of(run), "POST", f"/api/v1/{verb}")["phase"])
