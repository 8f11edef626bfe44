"""`star-agents validate CONFIG`: every problem of a config at once, before anything is started."""

from pathlib import Path
from typing import Annotated

import typer


def validate(config: Annotated[Path, typer.Argument(help="The run's YAML file.")]) -> None:
    """Check a config and its seeds file without starting anything."""
    import os

    from star_agents.service.assembly import check_inputs
    from star_agents.service.validation import load_settings

    settings = load_settings(config)
    check_inputs(settings, os.environ)
    typer.echo(f"{config}: ok")
