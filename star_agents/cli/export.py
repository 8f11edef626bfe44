"""`star-agents export RUN`: the data set of a run, finished or not."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Formats that trainers load."""

    MESSAGES = "messages"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PARQUET = "parquet"


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    row_format: Annotated[Format, typer.Option("--format", help="What the rows look like.")] = Format.MESSAGES,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; default: RUN/out/FORMAT.")] = None,
    candidates: Annotated[bool, typer.Option("--candidates", help="The losing candidates too.")] = False,
) -> None:
    """Write what a run has selected so far; the run may go on meanwhile."""
    from star_agents.cli.runs import existing_run
    from star_agents.storage.export import export as write
    from star_agents.storage.export import export_dead_letters

    folder = existing_run(run)
    target = out or folder.out / row_format
    exported = write(folder.database, target, row_format=row_format.value, candidates=candidates)
    num_failed = export_dead_letters(folder.database, folder.out)
    typer.echo(f"{exported.data_file}: {exported.contents.rows} rows, {exported.contents.dropped} seeds dropped")
    if num_failed:
        typer.echo(f"{folder.out}/dead-letters.jsonl: {num_failed} calls that failed for good")
