"""`star-agents export RUN`: the data set of a run, finished or not."""

import asyncio
import os
import re
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from star_agents.core.ports import Embedder
    from star_agents.service.export_job import ExportJob
    from star_agents.storage.card import Contents
    from star_agents.storage.export import Exported, ExportOptions
    from star_agents.storage.lost import Lost
    from star_agents.storage.near_duplicates import Sieve

_LICENCE = re.compile(r"[A-Za-z0-9.+-]{1,60}")


class Format(StrEnum):
    """Formats that trainers load."""

    MESSAGES = "messages"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PARQUET = "parquet"
    DATASETS = "datasets"
    DPO = "dpo"


class Dedup(StrEnum):
    """How questions are compared."""

    EMBEDDING = "embedding"
    MINHASH = "minhash"


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    row_format: Annotated[Format, typer.Option("--format", help="What the rows look like.")] = Format.MESSAGES,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; default: RUN/out/FORMAT.")] = None,
    candidates: Annotated[bool, typer.Option("--candidates", help="The losing candidates too.")] = False,
    min_score: Annotated[float | None, typer.Option(help="Leave out rows whose pi is lower, or not known.")] = None,
    dedup: Annotated[Dedup | None, typer.Option(help="Leave out questions like an earlier one.")] = None,
    similarity: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="How alike; default: 0.8 for minhash, 0.95 for embedding.")
    ] = None,
    decontaminate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Leave out rows with 13 words of a benchmark question in it.")
    ] = None,
    test_share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the seeds kept for testing.")] = 0.0,
    margin: Annotated[float, typer.Option(min=0.0, max=1.0, help="dpo: least difference of pi in a pair.")] = 0.0,
    any_prompt: Annotated[
        bool, typer.Option("--any-prompt", help="dpo: losers that answered another wording of the seed, too.")
    ] = False,
    licence: Annotated[str, typer.Option("--license", metavar="SPDX", help="Licence named in the card.")] = "",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out rows whose file is lost, and say which.")
    ] = False,
    push: Annotated[str | None, typer.Option(metavar="ORG/NAME", help="Put it on the Hugging Face hub, too.")] = None,
    public: Annotated[bool, typer.Option("--public", help="--push: a new repository is for everyone to see.")] = False,
) -> None:
    """Write what a run has selected so far; the run may go on meanwhile."""
    from star_agents.cli.runs import existing_run
    from star_agents.service.export_job import ExportJob
    from star_agents.storage.export import ExportOptions, export_dead_letters
    from star_agents.storage.hub import Push, open_hub, push_folder
    from star_agents.storage.picks import Choice, Preferences

    _check(row_format, dedup, similarity, pairs=bool(margin) or any_prompt, licence=licence)
    if public and push is None:
        raise typer.BadParameter("goes with --push", param_hint="--public")
    wish = None if push is None else Push(name=push, public=public)
    hub = None if wish is None else open_hub(wish)  # before the work: a wrong name should not cost an hour
    folder = existing_run(run)
    choice = Choice(min_score=min_score, preferences=Preferences(margin=margin, any_prompt=any_prompt))
    job = ExportJob(
        database=folder.database,
        folder=out or folder.out / row_format,
        row_format=row_format.value,
        candidates=candidates,
        options=_with_filters(
            ExportOptions(choice=choice, test_share=test_share, licence=licence, allow_missing=allow_missing),
            dedup,
            similarity,
            decontaminate,
        ),
        similarity=_similarity(similarity) if dedup is Dedup.EMBEDDING else None,
    )
    exported = _run(job)
    _tell(exported)
    if out is not None and not os.access(folder.path, os.W_OK):
        typer.echo(f"{folder.path} cannot be written: dead-letters.jsonl is left out; see status --failures", err=True)
    elif num_failed := export_dead_letters(folder.database, folder.out, _skip if allow_missing else None):
        typer.echo(f"{folder.out}/dead-letters.jsonl: {num_failed} calls that failed for good")
    if hub is not None and wish is not None:
        typer.echo(f"pushed: {push_folder(hub, wish, job.folder)}")


def _check(row_format: Format, dedup: Dedup | None, similarity: float | None, *, pairs: bool, licence: str) -> None:
    if pairs and row_format is not Format.DPO:
        raise typer.BadParameter("goes with --format dpo", param_hint="--margin, --any-prompt")
    if similarity is not None and dedup is None:
        raise typer.BadParameter("say how: minhash or embedding", param_hint="--dedup")
    if licence and not _LICENCE.fullmatch(licence):
        raise typer.BadParameter("an SPDX identifier, as cc-by-4.0 or apache-2.0", param_hint="--license")


def _with_filters(
    options: "ExportOptions", dedup: Dedup | None, similarity: float | None, decontaminate: Path | None
) -> "ExportOptions":
    from dataclasses import replace

    from star_agents.storage.benchmarks import read_benchmarks

    if decontaminate is not None:
        benchmarks = read_benchmarks(decontaminate)
        short = f", {benchmarks.too_short} too short to look for" if benchmarks.too_short else ""
        typer.echo(f"{decontaminate}: {benchmarks.questions} questions{short}")
        options = replace(options, benchmarks=benchmarks)
    return replace(options, duplicates=_minhash(similarity)) if dedup is Dedup.MINHASH else options


def _minhash(similarity: float | None) -> "Sieve":
    from star_agents.storage.near_duplicates import MINHASH_THRESHOLD, minhash_sieve

    return minhash_sieve(MINHASH_THRESHOLD if similarity is None else similarity)


def _similarity(similarity: float | None) -> float:
    from star_agents.storage.near_duplicates import EMBEDDING_THRESHOLD

    return EMBEDDING_THRESHOLD if similarity is None else similarity


def _run(job: "ExportJob") -> "Exported":
    """Do the job with a bar on a terminal; Ctrl-C leaves what was there."""
    from rich.console import Console

    from star_agents.cli.counted import counted
    from star_agents.cli.models import cache_dir
    from star_agents.scoring.pool import EmbedderPool
    from star_agents.scoring.zoo import resolve
    from star_agents.service.export_job import embedder_of, run_export
    from star_agents.service.life.stopping import SIGNALLED, StoppedError, stoppable
    from star_agents.storage.recovery import read_standing

    model = "" if job.similarity is None else resolve(embedder_of(job.database), cache_dir())
    screen = Console(stderr=True)
    total = read_standing(job.database).finished
    with TemporaryDirectory() as logs, counted(screen, os.environ, "export", total) as tell:

        def open_embedder() -> "AbstractAsyncContextManager[Embedder]":
            return EmbedderPool(model, log_dir=Path(logs), environ=dict(os.environ))

        work = run_export(job, open_embedder, tell)
        try:
            return asyncio.run(stoppable(work, before_leaving=screen.show_cursor))
        except StoppedError as stop:
            typer.echo("stopped; nothing was changed", err=True)
            raise typer.Exit(SIGNALLED + stop.number) from None


def _skip(lost: "Lost") -> None:
    """It was told with the data."""


def _tell(exported: "Exported") -> None:
    contents: Contents = exported.contents
    halves = ", ".join(f"{count} {split}" for split, count in sorted(contents.splits.items(), reverse=True))
    rows = f"{contents.rows} rows" + (f" ({halves})" if len(contents.splits) > 1 else "")
    typer.echo(f"{exported.data_file}: {rows}, {contents.dropped} seeds dropped")
    for reason, count in contents.reasons.most_common():
        typer.echo(f"  {count} {reason}")
    for lost in contents.lost:
        typer.echo(f"left out: {lost}", err=True)
