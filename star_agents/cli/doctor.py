"""`star-agents doctor`: what would keep a config from running, or what is damaged in a run, each with its mend."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from star_agents.service.doctor.checks import Finding

COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    config: Annotated[Path | None, typer.Argument(help="The run's YAML file; without it the machine alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every line, as JSON.")] = False,
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="A run folder to look over, byte by byte.")] = None,
    no_calls: Annotated[bool, typer.Option("--no-calls", help="Do not call any model; it costs a few tokens.")] = False,
) -> None:
    """Look the machine, a config and its endpoints, or a run over: ok, warn or fail, with the mend. Changes nothing."""
    import asyncio
    import os

    import orjson

    from star_agents.cli.exits import findings_code
    from star_agents.cli.models import cache_dir
    from star_agents.cli.runs import existing_run
    from star_agents.service.doctor.checks import examined
    from star_agents.service.doctor.plan import Wish, checks

    folder = None if run is None else existing_run(run)
    wish = Wish(config=config, run=folder, calls=not no_calls, cache_dir=cache_dir(), environ=os.environ)
    findings = asyncio.run(examined(checks(wish)))
    if as_json:
        typer.echo(orjson.dumps(findings, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(findings)
    raise typer.Exit(findings_code({finding.cause for finding in findings if finding.cause}))


def _show(findings: "Sequence[Finding]") -> None:
    """A line each; the mend of what is not well stands below it."""
    from star_agents.cli.text import plain

    for finding in findings:
        level = typer.style(f"{finding.level:<4}", fg=COLOURS[finding.level])
        typer.echo(f"{level}  {finding.subject:<12}  {plain(finding.seen, len(finding.seen)).plain}")
        if finding.mend:
            typer.echo(f"{'':20}-> {finding.mend}")
    counts = {level: sum(finding.level == level for finding in findings) for level in COLOURS}
    typer.echo(", ".join(f"{count} {level}" for level, count in counts.items()))
