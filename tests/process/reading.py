"""Everything that a folder holds, as bytes that can be searched: what is packed is unpacked first."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import zstandard

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file as it lies there, each cell of each table, and each column of a Parquet file, with its name."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = str(file.relative_to(folder))
        yield name, unpacked(file.read_bytes())
        if file.suffix == ".db":
            yield from ((f"{name}, {table}", cell) for table, cell in _cells(file))
        if file.suffix == ".parquet":
            yield from ((f"{name}, {column}", cell) for column, cell in _values(file))


def unpacked(content: bytes) -> bytes:
    """What a zstd frame holds; other bytes as they are."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(content) if content[:4] == ZSTD_MAGIC else content


def _cells(file: Path) -> Iterator[tuple[str, bytes]]:
    connection = sqlite3.connect(file)
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608  # a name from the file itself
                yield from ((table, _bytes(value)) for value in row)
    finally:
        connection.close()


def _values(file: Path) -> Iterator[tuple[str, bytes]]:
    table = pq.read_table(file)
    for column in table.column_names:
        yield from ((column, _bytes(value)) for value in table[column].to_pylist())
    yield "metadata", repr(table.schema.metadata).encode()


def _bytes(value: object) -> bytes:
    return unpacked(value) if isinstance(value, bytes) else str(value).encode()
