"""`star-agents score DATA`: the IFD of an existing data set, one row in, one row out."""

import asyncio
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from star_agents.scoring.settings import ScoringSettings


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


def score(
    data: Annotated[str, typer.Argument(help="A .json, .jsonl or .parquet file (gz and zst too), or hub:org/name.")],
    small: Annotated[str, typer.Option(help="The target model: a hub id, a folder or a packaged model.")],
    out: Annotated[Path, typer.Option(help="The JSONL file to write.")],
    large: Annotated[str | None, typer.Option(help="A second, larger model, for the dual score.")] = None,
    ifd: Annotated[Convention, typer.Option(help="Convention of IFD.")] = Convention.EXACT,
    template: Annotated[str, typer.Option(help="chat, plain, alpaca, or a Jinja file; for `exact`.")] = "chat",
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda:0,cuda:1,...")] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="auto: bfloat16 on a GPU, float32 on a CPU.")] = Dtype.AUTO,
    max_tokens: Annotated[int, typer.Option(min=16, help="Prompt and response together; for `exact`.")] = 2048,
) -> None:
    """Write the IFD of every row of a data set, under one model or two."""
    from star_agents.cli.models import cache_dir, pull_packaged
    from star_agents.core.errors import ConfigError
    from star_agents.scoring.settings import ScoringSettings
    from star_agents.scoring.zoo import resolve
    from star_agents.storage.publish import published

    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it, or name another")
    if out.exists():
        raise ConfigError(f"--out {out}: is there already; move it away, or name another file")
    pull_packaged((small, large))
    settings = ScoringSettings(
        small=resolve(small, cache_dir()),
        large=resolve(large, cache_dir()) if large else None,
        device=device,
        dtype=dtype.value,
        max_tokens=max_tokens,
        ifd=ifd.value,
        template=template,
    )
    with published(out) as file, TemporaryDirectory() as logs:
        asyncio.run(_score(data, settings, Path(logs), file.write))


async def _score(data: str, settings: "ScoringSettings", log_dir: Path, write: Callable[[bytes], object]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from star_agents.scoring.pool import ScorerPool
    from star_agents.service.scoring_pass import score_data
    from star_agents.storage.seeds import open_seeds

    seeds = await open_seeds(data)
    total = await seeds.count()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("loading the models", total=total)
        async with ScorerPool(settings, log_dir=log_dir, environ=dict(os.environ)) as pool:

            def tell(passed: int) -> None:
                bar.update(task, completed=passed, description=f"{pool.snapshot().tokens_per_s:.0f} tok/s")

            await score_data(seeds, pool, write, tell)
        bar.update(task, completed=total)
    console.print(f"{total - seeds.bad} rows scored, {seeds.bad} unusable rows skipped")
