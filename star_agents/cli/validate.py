"""`star-agents validate CONFIG`: every problem of a config at once, before anything is started."""

from pathlib import Path
from typing import Annotated

import typer


def validate(config: Annotated[Path, typer.Argument(help="The run's YAML file.")]) -> None:
    """Check a config and its seeds file without starting anything."""
    import asyncio
    import os

    from star_agents.service.config.validation import load_settings
    from star_agents.service.run.job import gather_inputs

    settings = load_settings(config)
    inputs = asyncio.run(gather_inputs(settings, os.environ))
    typer.echo(f"{config}: ok, {inputs.num_seeds} seeds, {len(inputs.pool)} pairs and {len(inputs.base)} base")
