"""What a person sees of a `score`: a bar on a terminal, plain lines anywhere else, a report at the end.

Everything shown of a pass comes from one `ScoreStatus`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from star_agents.cli.text import duration
from star_agents.service.scores.job import ScoreJob, ScoreResult
from star_agents.service.scores.progress import ScoreStatus

SCREEN_S = 0.25
LINE_S = 10.0
"""One plain line in ten seconds at most, and none while nothing has changed."""

Look = Callable[[], ScoreStatus]


async def draw(console: Console, look: Look) -> None:
    """Keep a bar up to date until cancelled."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=None, pace="")
        while True:
            status = look()
            bar.update(task, total=status.total or None, completed=status.rows, pace=pace(status))
            bar.update(task, description=status.phase, refresh=True)
            await asyncio.sleep(SCREEN_S)


async def print_lines(look: Look) -> None:
    """Print a line now and then until cancelled."""
    shown = ""
    while True:
        if (text := line(look())) != shown:
            typer.echo(text, err=True)
            shown = text
        await asyncio.sleep(LINE_S)


def line(status: ScoreStatus) -> str:
    """Everything in one line."""
    return f"{status.phase}: {status.rows}/{status.total} rows, {pace(status)}" if status.total else status.phase


def pace(status: ScoreStatus) -> str:
    """How fast, how long yet, and what went wrong."""
    parts = [f"{status.tokens_per_s:.0f} tok/s", f"eta {duration(status.eta_s)}"]
    if status.unscored:
        parts.append(f"{status.unscored} without a score")
    if status.unusable:
        parts.append(f"{status.unusable} unusable")
    return ", ".join(parts)


def stopped(job: ScoreJob) -> str:
    """How to go on after a stop."""
    told = "stopped; what is done is kept: the same command goes on"
    return f"{told}, without --fresh" if job.fresh else told


def print_result(console: Console, job: ScoreJob, result: ScoreResult) -> None:
    """Rows by status, IFD by length, what was chosen, and how fast it went."""
    report, status = result.report, result.status
    _say(console, f"{job.out}: {report['rows']} rows")
    for model, counts in report["status"].items():
        _say(console, f"  {model}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for model, lines in report["ifd"].items():
        console.print(_lengths(model, lines))
    if result.choice is not None:
        _say(console, f"{job.selected_out}: {len(result.choice.numbers)} rows chosen")
        for reason, count in result.choice.left_out.items():
            _say(console, f"  {count} left out: {reason}")
    if status.scoring_s:
        rate = status.tokens / status.scoring_s
        rows = status.rows - status.resumed
        _say(console, f"{rows} rows scored in {duration(status.scoring_s)}, {status.tokens} tokens, {rate:.0f} tok/s")
    else:
        _say(console, "all of it was scored before")


def _lengths(model: str, lines: list[Mapping[str, Any]]) -> Table:
    table = Table(title=f"IFD under {model} by response length", title_justify="left", header_style="bold")
    for heading in ("tokens", "rows", "q1", "median", "q3"):
        table.add_column(heading, justify="right")
    for each in lines:
        quartiles = (f"{each[name]:.3f}" for name in ("q1", "median", "q3"))
        table.add_row(each["tokens"], str(each["rows"]), *quartiles)
    return table


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
