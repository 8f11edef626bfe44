"""Finished rows outside of SQLite: immutable Parquet files, two for each range of the log.

Law: a shard counts only if the table `shard` lists it, which is written when its files are durable; files that are
not listed are nobody's, and are swept. A listed file never changes: its CRC32 is in the table, and a file that has
another is refused. What was in a file that is lost is known all the same: `Lost` names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw

from star_agents.storage.columns import column
from star_agents.storage.lost import GONE, HOLDS, Holds, Lost, LostFileError
from star_agents.storage.publish import published, sweep, sync_folder

SHARD_ROWS = 1024
"""Rows in a shard: a few megabytes to build, and a commit of some tens of milliseconds to take them out."""

SLICE_ROWS = 256
"""Rows turned into Python values at once."""

PARQUET: Mapping[str, Any] = {"compression": "zstd"}
"""How files are written. Another version of the library may make other bytes of it, which `rebuild` knows."""

ROWS = {
    "seq": "int64",
    "seed": "int64",
    "batch": "int64",
    "version": "int64",
    "source": "string",
    "slot": "int64",
    "pi": "float64",
    "reason": "string",
    "crc32": "int64",
    "body": "binary",
    "weights_version": "int64",
    "plan_crc32": "int64",
    "plan_body": "binary",
    "embedding": "binary",
}
"""Columns of a rows file: the log's, then the plan's."""

REPLIES = {
    "seed": "int64",
    "purpose": "string",
    "slot": "int64",
    "ordinal": "int64",
    "ok": "int64",
    "endpoint": "string",
    "model": "string",
    "agent": "string",
    "pair": "string",
    "reason": "string",
    "sends": "int64",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "reasoning_tokens": "int64",
    "cached_tokens": "int64",
    "wasted_input": "int64",
    "wasted_output": "int64",
    "estimated": "int64",
    "crc32": "int64",
    "body": "binary",
}
"""Columns of a replies file: those of the table `reply`."""

_OK = list(REPLIES).index("ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One line of the table `shard`: the range of the log that it holds, its extremes of seeds, and counts."""

    seq_lo: int
    seq_hi: int
    seed_lo: int
    seed_hi: int
    rows: int
    failures: int
    rows_crc32: int
    replies_crc32: int

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Where its rows and its replies lie."""
        return _files(folder, self.seq_lo, self.seq_hi)

    def read_rows(self, folder: Path, wanted: Sequence[str], *, by: str = "") -> Iterator[tuple[Any, ...]]:
        """Some columns of its rows, in the order of the column `by` or of the log.

        Raises (both readers):
            LostFileError: the file is missing or was changed; before any row is given.
        """
        yield from _read(self._content(folder, "rows"), wanted, by)

    def read_replies(self, folder: Path, wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of its replies, by seed, purpose, slot and ordinal."""
        yield from _read(self._content(folder, "replies"), wanted, "")

    def problems(self, folder: Path) -> Iterator[Lost]:
        """Which of its files are not as they were written. Reads them whole."""
        for holds in HOLDS:
            try:
                self._content(folder, holds)
            except LostFileError as error:
                yield error.lost

    def lost(self, folder: Path, holds: Holds, why: str) -> Lost:
        """One of its files, as one that is lost."""
        return Lost(
            file=str(self.files(folder)[HOLDS.index(holds)]),
            holds=holds,
            why=why,
            seq_lo=self.seq_lo,
            seq_hi=self.seq_hi,
            seed_lo=self.seed_lo,
            seed_hi=self.seed_hi,
            rows=self.rows,
        )

    def _content(self, folder: Path, holds: Holds) -> bytes:
        at = HOLDS.index(holds)
        try:
            content = self.files(folder)[at].read_bytes()
        except OSError as error:
            why = GONE if isinstance(error, FileNotFoundError) else error.strerror or "cannot be read"
            raise LostFileError(self.lost(folder, holds, why)) from error
        if crc32(content) != (self.rows_crc32, self.replies_crc32)[at]:
            raise LostFileError(self.lost(folder, holds, "damaged, its checksum does not match"))
        return content


def _files(folder: Path, seq_lo: int, seq_hi: int) -> tuple[Path, Path]:
    span = f"{seq_lo:012}-{seq_hi:012}.parquet"
    return folder / f"rows-{span}", folder / f"replies-{span}"


def folder_of(database: Path) -> Path:
    """The folder of a database's shards; it is there once one was written."""
    return database.with_suffix(".shards")


def listed(connection: apsw.Connection, *, after: int = -1) -> list[Shard]:
    """The shards of a run that hold rows after a sequence number, in the order of the log."""
    names = [field.name for field in fields(Shard)]
    query = f"SELECT {', '.join(names)} FROM shard WHERE seq_hi > ? ORDER BY seq_lo"  # noqa: S608  # our own columns
    return [Shard(**dict(zip(names, row, strict=True))) for row in connection.execute(query, (after,))]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A shard that is not written yet, with the contents of its files."""

    shard: Shard
    contents: tuple[bytes, bytes] = field(repr=False)

    def write(self, folder: Path) -> None:
        """Write its files; they are durable when this returns.

        Raises:
            OSError: they cannot be written.
        """
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        for file, content in zip(self.shard.files(folder), self.contents, strict=True):
            with published(file) as stream:
                stream.write(content)


def prepared(rows: Sequence[tuple[Any, ...]], replies: Sequence[tuple[Any, ...]]) -> Prepared:
    """Make a shard of rows in the order of the log, and of their replies."""
    seeds = [row[1] for row in rows]
    contents = _packed(ROWS, rows), _packed(REPLIES, replies)
    shard = Shard(
        seq_lo=rows[0][0],
        seq_hi=rows[-1][0],
        seed_lo=min(seeds),
        seed_hi=max(seeds),
        rows=len(rows),
        failures=sum(not row[_OK] for row in replies),
        rows_crc32=crc32(contents[0]),
        replies_crc32=crc32(contents[1]),
    )
    return Prepared(shard, contents)


def missing(folder: Path, shards: Sequence[Shard]) -> tuple[Lost, ...]:
    """Listed files that are not there; only names are looked at."""
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    return tuple(
        shard.lost(folder, holds, GONE)
        for shard in shards
        for holds, file in zip(HOLDS, shard.files(folder), strict=True)
        if file.name not in there
    )


def sweep_unlisted(folder: Path, shards: Sequence[Shard]) -> None:
    """Remove what a crash left: files that no table lists. The caller holds the run folder's lock."""
    if not folder.is_dir():
        return
    sweep(folder)
    known = {file for shard in shards for file in shard.files(folder)}
    for file in folder.glob("*.parquet"):
        if file not in known:
            file.unlink()


def _read(content: bytes, wanted: Sequence[str], by: str) -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(pa.BufferReader(content)) as opened:  # `read_table` would load pandas: see `columns`
        table = opened.read(columns=list(wanted), use_threads=False)
    for batch in (table.sort_by(by) if by else table).to_batches(max_chunksize=SLICE_ROWS):
        yield from zip(*(batch.column(name).to_pylist() for name in wanted), strict=True)


def _packed(columns: Mapping[str, str], values: Sequence[tuple[Any, ...]]) -> bytes:
    """The content of one file."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([pa.field(name, getattr(pa, kind)()) for name, kind in columns.items()])
    arrays = [column([row[at] for row in values], field.type) for at, field in enumerate(schema)]
    texts = [name for name, kind in columns.items() if kind == "string"]
    content = BytesIO()
    table = pa.Table.from_arrays(arrays, schema=schema)
    parquet.write_table(table, content, use_dictionary=texts, **PARQUET)
    pa.default_memory_pool().release_unused()  # the next file is long in coming
    return content.getvalue()
