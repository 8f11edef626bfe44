"""The questions of `star-agents init`: what the flags did not say, asked on a terminal and nowhere else.

Law: an answer is looked at when it is given: seeds are opened and an endpoint is asked for its models, so that what is
wrong is told at once and asked again.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import typer

from star_agents.cli.text import plain
from star_agents.core.errors import CallError, ConfigError, EndpointError, SeedError
from star_agents.service.config.draft import LARGE, SMALL, Engine, Goal, Wish, run_name
from star_agents.service.config.first_look import models_at, seeds_seen

SHIPPED = "shipped:self-instruct-24"
SCORE_ONLY = "score-only"
GOALS = ("quick", "quality", "cheap", SCORE_ONLY)
SHOWN_CHARS = 100
SHOWN_MODELS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What is known of a wish; None is what nobody has said yet. `api_key` names a secret."""

    seeds: str | None
    endpoint: str | None
    local: str | None
    models: tuple[str, ...]
    api_key: str | None
    goal: str | None
    small: str | None
    large: str | None


def answered(config: Path, known: Answers, *, may_ask: bool) -> Wish | None:
    """The whole wish; None where it needs no config, which is told with the command to use.

    Raises:
        ConfigError: something was not said, and nobody can be asked.
        SeedError: the seeds cannot be read, and nobody can be asked.
    """
    if not may_ask:
        _refuse_gaps(known)
    known = replace(known, seeds=_seeds(known.seeds, may_ask=may_ask))
    if known.goal is None:
        known = replace(known, goal=_choice("What matters", GOALS, "quality") if may_ask else "quality")
    if known.goal == SCORE_ONLY:
        _tell_score(known)
        return None
    if may_ask:
        known = _who_answers(known)
    elif known.endpoint is not None:
        known = replace(known, models=known.models or _offered(known.endpoint, known.api_key)[:1])
        if not known.models:
            raise ConfigError(f"{known.endpoint}: does not tell its models; name one with --model")
    return Wish(
        name=run_name(config),
        seeds=str(known.seeds),
        models=known.models,
        base_url=known.endpoint,
        api_key=known.api_key,
        engine=cast("Engine | None", known.local),
        goal=cast("Goal", known.goal),
        small=known.small or SMALL,
        large=known.large or (LARGE if known.small is None else None),
    )


def _refuse_gaps(known: Answers) -> None:
    """All that is missing, at once."""
    missing = ["--seeds"] if known.seeds is None else []
    if known.goal != SCORE_ONLY:
        missing += ["--endpoint or --local"] if known.endpoint is None and known.local is None else []
        missing += ["--model"] if not known.models and known.endpoint is None else []
    if missing:
        raise ConfigError(f"there is no terminal to ask on: give {', '.join(missing)}")


def _seeds(path: str | None, *, may_ask: bool) -> str:
    """A source that can be read; what is in it is told."""
    while True:
        given = path or str(typer.prompt("Seeds: a file, hub:org/name, or the data that comes along", SHIPPED))
        try:
            seen = asyncio.run(seeds_seen(given))
        except SeedError as error:
            if not may_ask:
                raise
            typer.echo(f"  {error}", err=True)
            path = None
            continue
        typer.echo(f"  {given}: {seen.rows} rows, {seen.row_format}, fields {', '.join(seen.fields)}")
        typer.echo(f"  the first: {plain(seen.question, SHOWN_CHARS).plain}")
        return given


def _who_answers(known: Answers) -> Answers:
    """Where the models are, and which."""
    if known.endpoint is None and known.local is None:
        where = _choice(
            "Who answers: an API or a server by its URL, or models served here", ("url", "vllm", "transformers"), "url"
        )
        known = replace(known, local=None if where == "url" else where)
    if known.local is not None:
        return replace(known, models=known.models or _named("Models, a hub id, folder or packaged name each", SMALL))
    url = known.endpoint or str(typer.prompt("URL, up to and with /v1", "http://127.0.0.1:8000/v1"))
    known = replace(known, endpoint=url, api_key=known.api_key or _key())
    if known.models:
        return known
    offered = _offered(url, known.api_key)
    for number, model in enumerate(offered[:SHOWN_MODELS], start=1):
        typer.echo(f"  {number:>2}  {plain(model, SHOWN_CHARS).plain}")
    chosen = _named("Models, by number or name", "1" if offered else None)
    return replace(known, models=tuple(_picked(each, offered) for each in chosen))


def _key() -> str | None:
    """The name of the variable; a key is not asked for, and what looks like one is not taken."""
    while True:
        name = str(typer.prompt("Variable that holds the API key (its name; empty for none)", "", show_default=False))
        if not name:
            return None
        if names_a_variable(name, os.environ):
            return f"${{{name}}}"
        typer.echo("  the name of a variable, as OPENAI_API_KEY; the key itself stays out of the config", err=True)


def names_a_variable(name: str, environ: Mapping[str, str]) -> bool:
    """Whether it is one: set, or in capitals, as keys are not. Some keys would pass for a name otherwise."""
    return name in environ or re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", name) is not None


def _offered(url: str, api_key: str | None) -> tuple[str, ...]:
    """What an endpoint serves; why it does not tell is no reason to stop."""
    try:
        return asyncio.run(models_at(url, api_key, os.environ))
    except (CallError, ConfigError, EndpointError) as error:
        typer.echo(f"  {error}; its models are not known", err=True)
        return ()


def _named(question: str, default: str | None) -> tuple[str, ...]:
    """Names between commas, one at least."""
    while True:
        found = tuple(filter(None, map(str.strip, str(typer.prompt(question, default)).split(","))))
        if found:
            return found


def _picked(answer: str, offered: Sequence[str]) -> str:
    return offered[int(answer) - 1] if answer.isdecimal() and 0 < int(answer) <= len(offered) else answer


def _choice(question: str, choices: Sequence[str], default: str) -> str:
    while True:
        given = str(typer.prompt(f"{question} ({', '.join(choices)})", default)).strip()
        if given in choices:
            return given
        typer.echo(f"  say one of {', '.join(choices)}", err=True)


def _tell_score(known: Answers) -> None:
    """Scoring alone takes no config."""
    typer.echo("score needs no config and no endpoint; the best tenth by both models:")
    models = f"--small {known.small or SMALL} --large {known.large or LARGE}"
    typer.echo(f"  star-agents score {known.seeds} {models} --select dual --top 10%")
