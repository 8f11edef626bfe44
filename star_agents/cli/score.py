"""`star-agents score DATA`: the IFD of an existing data set, one row in, one row out, and the best rows of it."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from star_agents.service.scores.choosing import Selection
    from star_agents.service.scores.job import CrewedScorer, ScoreJob


class Convention(StrEnum):
    """The conventions of IFD that public code uses; docs/scoring.md tells them apart."""

    EXACT = "exact"
    SUPERFILTERING = "superfiltering"
    CHERRY = "cherry"


class Dtype(StrEnum):
    """Number formats of the scorers."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Select(StrEnum):
    """What the rows that are kept have most of; docs/score.md tells them apart."""

    DUAL = "dual"
    IFD = "ifd"
    GAP = "gap"
    PPL = "ppl"


def score(
    data: Annotated[str, typer.Argument(help="A .json, .jsonl or .parquet file (gz and zst too), or hub:org/name.")],
    small: Annotated[str, typer.Option(help="The target model: a hub id, a folder or a packaged model.")],
    out: Annotated[
        Path | None, typer.Option(help="The .jsonl, .jsonl.zst or .parquet to write; default: NAME.scores.jsonl.")
    ] = None,
    large: Annotated[str | None, typer.Option(help="A second, larger model, for the dual score.")] = None,
    ifd: Annotated[Convention, typer.Option(help="Convention of IFD.")] = Convention.EXACT,
    template: Annotated[str, typer.Option(help="chat, plain, alpaca, or a Jinja file; for `exact`.")] = "chat",
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda:0,cuda:1,...")] = "auto",
    large_device: Annotated[str | None, typer.Option(help="Devices of its own for the large model.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on each device.")] = 1,
    dtype: Annotated[Dtype, typer.Option(help="auto: float16 on a GPU, float32 on a CPU.")] = Dtype.AUTO,
    max_tokens: Annotated[int, typer.Option(min=16, help="Prompt and response together; for `exact`.")] = 2048,
    texts: Annotated[bool, typer.Option("--texts", help="Write the texts beside their scores.")] = False,
    select: Annotated[Select | None, typer.Option(help="Write the best rows of DATA, too: best by what?")] = None,
    top: Annotated[str | None, typer.Option(help="How many of them: 5000, or 10% of all rows.")] = None,
    min_tokens: Annotated[int, typer.Option(min=0, help="Keep no row with a shorter response.")] = 0,
    selected_out: Annotated[Path | None, typer.Option(help="Where the best rows go; default: beside --out.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what is under --out, and begin anew.")] = False,
) -> None:
    """Write the IFD of every row of a data set, under one model or two, and choose the best rows.

    Stopped or killed at any moment, the same command goes on where it was.
    """
    from star_agents.cli.models import cache_dir, pull_packaged
    from star_agents.cli.score_paths import check_paths, default_out, default_selected
    from star_agents.scoring.settings import ScoringSettings
    from star_agents.scoring.zoo import resolve
    from star_agents.service.scores.identity import ScoreSpec
    from star_agents.service.scores.job import ScoreJob
    from star_agents.service.scores.scoring_pass import BLOCK_ROWS

    if large_device is not None and large is None:
        raise typer.BadParameter("names the place of a model that is not there: name it", param_hint="--large")
    selection = _selection(select, top, min_tokens, has_large=large is not None)
    out = out or default_out(data)
    if selection is not None:
        selected_out = selected_out or default_selected(data, out)
    elif selected_out is not None:
        raise typer.BadParameter("goes with --select and --top", param_hint="--selected-out")
    check_paths(data, out, selected_out)
    pull_packaged((small, large))
    settings = ScoringSettings(
        small=resolve(small, cache_dir()),
        large=resolve(large, cache_dir()) if large else None,
        device=device,
        large_device=large_device,
        workers=workers,
        dtype=dtype.value,
        max_tokens=max_tokens,
        ifd=ifd.value,
        template=template,
    )
    spec = ScoreSpec(settings=settings, small=small, large=large, texts=texts, block_rows=BLOCK_ROWS)
    job = ScoreJob(data=data, out=out, spec=spec, fresh=fresh, selection=selection, selected_out=selected_out)
    with TemporaryDirectory() as logs:
        _run(job, Path(logs))


def _selection(select: Select | None, top: str | None, min_tokens: int, *, has_large: bool) -> "Selection | None":
    """What is to be chosen, if anything."""
    from star_agents.service.scores.choosing import NEEDS_LARGE, Rule, Selection, parse_top

    if select is None:
        if top is not None or min_tokens:
            raise typer.BadParameter("say by what: dual, ifd, gap or ppl", param_hint="--select")
        return None
    if top is None:
        raise typer.BadParameter("say how many rows (5000), or what share of them (10%)", param_hint="--top")
    rule = Rule(select)
    if rule in NEEDS_LARGE and not has_large:
        raise typer.BadParameter(f"--select {rule} compares two models: name the second", param_hint="--large")
    try:
        return Selection(rule=rule, top=parse_top(top), min_tokens=min_tokens)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--top") from error


def _run(job: "ScoreJob", log_dir: Path) -> None:
    """Do the job under the eyes of whoever watches, and say what it came to."""
    from rich.console import Console

    from star_agents.cli.score_screen import draw, print_lines, print_result, stopped
    from star_agents.scoring.pool import ScorerPool
    from star_agents.service.life.stopping import SIGNALLED, StoppedError, stoppable
    from star_agents.service.scores.job import run_score

    def open_scorer() -> "AbstractAsyncContextManager[CrewedScorer]":
        quarantine = job.out.with_name(f"{job.out.name}.quarantine.jsonl")
        return ScorerPool(job.spec.settings, log_dir=log_dir, quarantine=quarantine, environ=dict(os.environ))

    screen = Console(stderr=True)
    work = run_score(job, open_scorer, partial(draw, screen) if screen.is_terminal else print_lines)
    try:
        result = asyncio.run(stoppable(work, before_leaving=screen.show_cursor))
    except StoppedError as stop:
        typer.echo(stopped(job), err=True)
        raise typer.Exit(SIGNALLED + stop.number) from None
    print_result(Console(), job, result)
