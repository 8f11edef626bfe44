"""`star-agents schema`: the JSON Schema of a config, for editors."""

import typer


def schema() -> None:
    """Print the JSON Schema of a config file, for editors."""
    import orjson

    from star_agents.service.settings import Settings

    typer.echo(orjson.dumps(Settings.model_json_schema(), option=orjson.OPT_INDENT_2).decode())
