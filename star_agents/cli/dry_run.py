"""`star-agents serve-run CONFIG --dry-run`: what a run would cost, before any of it is spent."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from star_agents.service.config.settings import Settings
    from star_agents.service.run.estimate import Estimate, Expected


def dry_run(settings: "Settings", limit: int | None) -> None:
    """Show calls, tokens, dollars and hours by endpoint; nothing is sent or written.

    Raises:
        ConfigError: something is missing or unsound.
        SeedError: the seeds cannot be read.
    """
    import asyncio
    import os

    from star_agents.service.run.estimate import estimate
    from star_agents.service.run.job import gather_inputs

    async def work() -> "Estimate":
        return await estimate(settings, await gather_inputs(settings, os.environ), limit=limit)

    _show(asyncio.run(work()), settings)


def _show(found: "Estimate", settings: "Settings") -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    typer.echo(f"{found.seeds} seeds; {found.sampled} of them were looked at. Nothing was sent or written.")
    table = Table("endpoint", box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("calls", "tokens in", "tokens out", "dollars", "at most", "time"):
        table.add_column(heading, justify="right")
    table.add_column("bound by", overflow="fold", min_width=11)
    for one in found.endpoints:
        table.add_row(*_cells(one))
    Console().print(table)
    for line in (*_sums(found, settings), *(f"assumed: {line}" for line in found.assumed)):
        typer.echo(line)


def _cells(one: "Expected") -> tuple[str, ...]:
    from star_agents.cli.text import duration

    counts = (f"{count:,}" for count in (one.calls, one.input_tokens, one.output_tokens))
    return (
        one.endpoint,
        *counts,
        _dollars(one.usd),
        _dollars(one.at_most_usd),
        duration(3600 * one.hours),
        one.bound_by,
    )


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:,.2f}"


def _sums(found: "Estimate", settings: "Settings") -> list[str]:
    """The whole run, and whether its budget lasts."""
    from star_agents.cli.text import duration

    known = [one.usd for one in found.endpoints if one.usd is not None]
    usd = sum(known)
    at_least = "at least " if len(known) < len(found.endpoints) else ""
    dollars = f"{at_least}{_dollars(usd)}" if known else "dollars unknown"
    tokens = sum(one.input_tokens + one.output_tokens for one in found.endpoints)
    took = duration(3600 * max(one.hours for one in found.endpoints))
    lines = [f"in all: {tokens:,} tokens, {dollars}, about {took} (scoring not counted)"]
    for name, spent, ceiling in (("usd", usd, settings.budget.usd), ("tokens", tokens, settings.budget.tokens)):
        if ceiling is not None and spent > ceiling:
            lines.append(f"budget.{name}: {ceiling:,} lasts for about {int(found.seeds * ceiling / spent)} seeds")
    return lines
