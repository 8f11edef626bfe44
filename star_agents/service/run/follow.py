"""A file, or a folder of files, that grows while a run goes on: its new lines are fed to the run as they come.

Law: only whole lines are taken, each once, whatever restarts; where a file was read to is durable with its rows. A row
that holds no seed is left out and told; a file that is shorter than it was is left alone, for it is another one.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from star_agents.core.errors import NotNowError, SeedError
from star_agents.service.run.feed import FedSeeds, plain_row
from star_agents.service.run.inbox import Fed
from star_agents.storage.row_files import MAX_ROW_BYTES, decode, file_errors
from star_agents.storage.seed_rows import RowFormat

LOOK_S = 1.0
"""How often it looks for new lines."""

CHUNK_BYTES = 4 * 2**20
MAX_TOLD = 10
"""Rows left out that are told one by one."""

SUFFIXES = (".jsonl", ".ndjson")

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Follower:
    """Feeds `source` from `path`; a folder's files in the order of their names, those with a leading dot left out."""

    path: Path
    source: FedSeeds
    row_format: RowFormat = "auto"
    left_out: int = 0
    _told: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Look again and again; ends when the run takes no more seeds."""
        try:
            while True:
                await self.catch_up()
                await asyncio.sleep(LOOK_S)
        except NotNowError:
            log.info("%s: followed no more, the seeds of the run have ended", self.path)

    async def catch_up(self) -> None:
        """Take in every line that is there now.

        Raises:
            NotNowError: the run takes no more seeds.
            StoreError: they cannot be made durable.
        """
        for file in await asyncio.to_thread(self._files):
            while (fed := await asyncio.to_thread(self._next, file)) is not None:
                await self.source.feed(fed)

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            found = [file for file in self.path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(".")]
            return sorted(found)
        return [self.path] if self.path.exists() else []

    def _next(self, file: Path) -> Fed | None:
        """The next lines of a file, or None where there is no whole one."""
        offset = self.source.offsets.get(file.name, 0)
        try:
            with file_errors(file), file.open("rb") as stream:
                if stream.seek(0, 2) < offset:
                    self._tell(f"{file}: shorter than it was: not followed any more; give new rows in a new file")
                    return None
                stream.seek(offset)
                content = stream.read(CHUNK_BYTES)
                if b"\n" not in content and len(content) == CHUNK_BYTES:
                    content += stream.readline(MAX_ROW_BYTES)
        except SeedError as error:
            self._tell(str(error))
            return None
        whole = content.rfind(b"\n") + 1
        if not whole and len(content) > MAX_ROW_BYTES:
            self._tell(f"{file}: a line longer than {MAX_ROW_BYTES} bytes: not followed any more")
        return Fed(self._rows(file, content[:whole]), file.name, offset + whole) if whole else None

    def _rows(self, file: Path, content: bytes) -> list[object]:
        rows: list[object] = []
        for line in filter(bytes.strip, content.split(b"\n")):
            try:
                rows.append(plain_row(decode(line), self.row_format))
            except ValueError as error:  # UnusableRowError is one
                self.left_out += 1
                if self.left_out <= MAX_TOLD:
                    log.warning("%s: left out a row: %s", file, error)
        return rows

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.warning("%s", message)
