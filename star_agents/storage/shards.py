"""Finished rows outside of SQLite: immutable Parquet files, two for each range of the log.

Law: a shard counts only if the table `shard` lists it, which is written when its files are durable; files that are
not listed are nobody's, and are swept. A listed file never changes: its CRC32 is in the table, and a file that has
another is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw

from star_agents.core.errors import StoreError
from star_agents.storage.columns import column
from star_agents.storage.publish import published, sweep, sync_folder

SHARD_ROWS = 1024
"""Rows in a shard: a few megabytes to build, and a commit of some tens of milliseconds to take them out."""

SLICE_ROWS = 256
"""Rows turned into Python values at once."""

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
            StoreError: the file is missing or was changed; it names it.
        """
        return _read(self.files(folder)[0], self.rows_crc32, wanted, by)

    def read_replies(self, folder: Path, wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of its replies, by seed, purpose, slot and ordinal."""
        return _read(self.files(folder)[1], self.replies_crc32, wanted, "")


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


def write(folder: Path, rows: Sequence[tuple[Any, ...]], replies: Sequence[tuple[Any, ...]]) -> Shard:
    """Write the files of a shard; they are durable when this returns. `rows` are in the order of the log.

    Raises:
        OSError: they cannot be written.
    """
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)
    seq_lo, seq_hi, seeds = rows[0][0], rows[-1][0], [row[1] for row in rows]
    files = _files(folder, seq_lo, seq_hi)
    return Shard(
        seq_lo=seq_lo,
        seq_hi=seq_hi,
        seed_lo=min(seeds),
        seed_hi=max(seeds),
        rows=len(rows),
        failures=sum(not row[_OK] for row in replies),
        rows_crc32=_write(files[0], ROWS, rows),
        replies_crc32=_write(files[1], REPLIES, replies),
    )


def check_files(folder: Path, shards: Sequence[Shard]) -> None:
    """See that every listed file is there.

    Raises:
        StoreError: one is not; it names the first.
    """
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    for shard in shards:
        for file in shard.files(folder):
            if file.name not in there:
                raise StoreError(f"{file}: finished rows are gone with this file: restore a copy of the run folder")


def sweep_unlisted(folder: Path, shards: Sequence[Shard]) -> None:
    """Remove what a crash left: files that no table lists. The caller holds the run folder's lock."""
    if not folder.is_dir():
        return
    sweep(folder)
    known = {file for shard in shards for file in shard.files(folder)}
    for file in folder.glob("*.parquet"):
        if file not in known:
            file.unlink()


def _read(file: Path, crc: int, wanted: Sequence[str], by: str) -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        content = file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}: restore a copy of the run folder") from error
    if crc32(content) != crc:
        raise StoreError(f"{file}: damaged, its checksum does not match: restore a copy of the run folder")
    with parquet.ParquetFile(pa.BufferReader(content)) as opened:  # `read_table` would load pandas: see `columns`
        table = opened.read(columns=list(wanted), use_threads=False)
    for batch in (table.sort_by(by) if by else table).to_batches(max_chunksize=SLICE_ROWS):
        yield from zip(*(batch.column(name).to_pylist() for name in wanted), strict=True)


def _write(file: Path, columns: Mapping[str, str], values: Sequence[tuple[Any, ...]]) -> int:
    """Write one file; returns its checksum."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([pa.field(name, getattr(pa, kind)()) for name, kind in columns.items()])
    arrays = [column([row[at] for row in values], field.type) for at, field in enumerate(schema)]
    texts = [name for name, kind in columns.items() if kind == "string"]
    content = BytesIO()
    table = pa.Table.from_arrays(arrays, schema=schema)
    parquet.write_table(table, content, compression="zstd", use_dictionary=texts)
    with published(file) as stream:
        stream.write(content.getbuffer())
    pa.default_memory_pool().release_unused()  # the next file is long in coming
    return crc32(content.getbuffer())
