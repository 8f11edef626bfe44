"""`star-agents schema`: what a config may say, for editors or for people."""

from enum import StrEnum
from typing import Annotated

import typer


class SchemaFormat(StrEnum):
    """How the schema is written."""

    JSON = "json"
    MARKDOWN = "markdown"


def schema(
    form: Annotated[
        SchemaFormat, typer.Option("--format", help="json: a JSON Schema, for editors. markdown: tables, for people.")
    ] = SchemaFormat.JSON,
) -> None:
    """Print what a config file may say."""
    import orjson

    from star_agents.cli.reference import reference
    from star_agents.service.config.settings import Settings

    found = Settings.model_json_schema()
    if form is SchemaFormat.MARKDOWN:
        typer.echo(reference(found), nl=False)
    else:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
