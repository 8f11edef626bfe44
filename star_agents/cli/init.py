"""`star-agents init`: a first config, out of flags or out of a few questions on a terminal.

Law: a file that is there is not touched without --force, what is written has passed the check that every start makes,
and no key is ever asked for or written: a config names the variable or the file that holds it.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from star_agents.service.config.draft import Wish


class Goal(StrEnum):
    """What matters most."""

    QUICK = "quick"
    QUALITY = "quality"
    CHEAP = "cheap"
    SCORE_ONLY = "score-only"


class Engine(StrEnum):
    """What serves models on this machine."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"


def init(
    config: Annotated[Path, typer.Argument(help="The file to write.")] = Path("star-agents.yaml"),
    seeds: Annotated[str | None, typer.Option(help="A file of rows, hub:org/name or shipped:self-instruct-24.")] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="Of a server or an API, with /v1.")] = None,
    local: Annotated[Engine | None, typer.Option(help="Serve the models on this machine instead.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Who answers; repeat it. The first one judges.")] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="The variable that holds the API key.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="The file that holds it instead.")] = None,
    goal: Annotated[Goal | None, typer.Option(help="What matters; score-only writes nothing.")] = None,
    small: Annotated[str | None, typer.Option(help="The model that you will train, or one like it.")] = None,
    large: Annotated[str | None, typer.Option(help="A larger one, to compare its IFD with.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented config; what no flag says is asked, where there is a terminal."""
    import shlex
    import sys

    from star_agents.cli.init_questions import Answers, answered
    from star_agents.core.errors import ConfigError

    if config.exists() and not force:
        raise ConfigError(f"{config}: is there already; give another name, or --force to write over it")
    if endpoint is not None and local is not None:
        raise typer.BadParameter(
            "goes without --local: write one, and add the other to the file", param_hint="--endpoint"
        )
    if key_env is not None and key_file is not None:
        raise typer.BadParameter("goes without --key-file", param_hint="--key-env")
    if local is not None and (key_env is not None or key_file is not None):
        raise typer.BadParameter("needs no key: leave --key-env and --key-file out", param_hint="--local")
    asked = Answers(
        seeds=seeds,
        endpoint=endpoint,
        local=None if local is None else local.value,
        models=tuple(model or ()),
        api_key=_reference(key_env, key_file),
        goal=None if goal is None else goal.value,
        small=small,
        large=large,
    )
    wish = answered(config, asked, may_ask=sys.stdin.isatty() and sys.stdout.isatty())
    if wish is None:
        return
    _write(config, wish)
    typer.echo(f"{config}: written. Look at it, then:")
    path = shlex.quote(str(config))
    typer.echo(f"  star-agents doctor {path}")
    typer.echo(f"  star-agents serve-run {path} --dry-run")


def _reference(variable: str | None, file: Path | None) -> str | None:
    """A secret as a config names it."""
    import os

    from star_agents.cli.init_questions import names_a_variable

    if variable is not None and not names_a_variable(variable, os.environ):
        told = "give the name of a variable, in capitals or one that is set; never the key itself"
        raise typer.BadParameter(told, param_hint="--key-env")
    if variable is not None:
        return f"${{{variable}}}"
    return None if file is None else f"file:{file}"


def _write(config: Path, wish: "Wish") -> None:
    """Check and write, whole or not at all.

    Raises:
        ConfigError: what was wished for makes no config, or it cannot be written.
    """
    from star_agents.cli.commented import commented
    from star_agents.core.errors import ConfigError
    from star_agents.service.config.draft import drafted
    from star_agents.service.config.validation import check
    from star_agents.service.config.yaml_source import parse_yaml
    from star_agents.storage.publish import published

    keys = "Every key that there is: `star-agents schema --format markdown`."
    head = f"Written by `star-agents init` with the goal: {wish.goal}. {keys}"
    text = commented(drafted(wish), head)
    check(parse_yaml(text, str(config)))
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        with published(config) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise ConfigError(f"{config}: cannot be written: {error.strerror or error}; give another name") from error
