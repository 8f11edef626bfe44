"""`star-agents export`: an export in a thread, with the memory's embedder beside it where questions are compared by it.

Law: when it ends, by a cancellation too, the thread has ended and the old data set is whole, or the new one is.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from star_agents.core.errors import ConfigError
from star_agents.core.ports import Embedder
from star_agents.service.run.blocking import Look, interruptible
from star_agents.storage.export import DEFAULTS, Exported, ExportOptions, export
from star_agents.storage.formats import ExportFormat
from star_agents.storage.near_duplicates import embedding_sieve
from star_agents.storage.recovery import read_standing

OpenEmbedder = Callable[[], AbstractAsyncContextManager[Embedder]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What the user asked for. With `similarity` questions are compared by the embedder's vectors."""

    database: Path
    folder: Path
    row_format: ExportFormat
    candidates: bool = False
    options: ExportOptions = DEFAULTS
    similarity: float | None = None


def embedder_of(database: Path) -> str:
    """The embedder that the run's memory bank was filled with. Blocks.

    Raises:
        ConfigError: the run has none.
        StoreError: the run cannot be read.
    """
    name = orjson.loads(read_standing(database).manifest.config).get("memory", {}).get("embedder")
    if name is None:
        raise ConfigError("--dedup embedding: the run has no memory.embedder: use --dedup minhash")
    return str(name)


async def run_export(job: ExportJob, open_embedder: OpenEmbedder, tell: Callable[[int], None]) -> Exported:
    """Do it; `tell` hears from the thread how many seeds have been looked at.

    Raises:
        ConfigError: a library that is asked for is not installed.
        ScorerError: the embedder cannot be run.
        StoreError: the run cannot be read, or the folder not be written.
    """
    if job.similarity is None:
        return await interruptible(lambda look: _export(job, job.options, look, tell))
    loop = asyncio.get_running_loop()
    async with open_embedder() as embedder:

        def embed(texts: Sequence[str]) -> list[bytes]:
            return asyncio.run_coroutine_threadsafe(embedder.embed(texts), loop).result()

        options = replace(job.options, duplicates=embedding_sieve(embed, job.similarity))
        return await interruptible(lambda look: _export(job, options, look, tell))


def _export(job: ExportJob, options: ExportOptions, look: Look, tell: Callable[[int], None]) -> Exported:
    def watch(count: int) -> None:
        look()
        tell(count)

    return export(
        job.database, job.folder, row_format=job.row_format, candidates=job.candidates, options=options, tell=watch
    )
