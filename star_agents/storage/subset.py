"""Chosen rows of a data set as they are, in their order.

Law: nothing in a row is changed. A line of JSON stays the line it was, a Parquet file keeps its schema, and a value
that the kind of file asked for cannot hold is an error.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from star_agents.core.errors import ConfigError, SeedError
from star_agents.storage.disk_errors import disk_errors
from star_agents.storage.publish import published
from star_agents.storage.row_files import JsonArray, RawRow, RowFile, file_sha256
from star_agents.storage.row_tables import Parquet

Numbers = NDArray[np.int64]
"""Numbers of rows, ascending."""

Look = Callable[[], None]
"""Called now and then; may raise, to stop."""


def natural_suffix(file: RowFile) -> str:
    """The kind of file that a data set's own rows fit best."""
    match file:
        case Parquet():
            return ".parquet"
        case JsonArray():
            return ".json"
        case _:
            return ".jsonl"


def check_subset_path(path: Path, file: RowFile) -> None:
    """Refuse a name that we cannot write rows of this data set under.

    Raises:
        ConfigError: the suffix is unknown, or Parquet is wanted of a data set that has no schema.
    """
    if path.suffix == ".parquet" and not isinstance(file, Parquet):
        raise ConfigError(f"--selected-out {path}: only rows of a .parquet file have a schema to keep: name a .jsonl")
    if path.suffix != ".parquet" and not path.name.endswith(tuple(_WRITERS)):
        raise ConfigError(f"--selected-out {path}: name a file that ends in {', '.join(_WRITERS)}, .parquet")


def publish_subset(path: Path, file: RowFile, numbers: Numbers, look: Look) -> None:
    """Write the rows of these numbers. A file that is there already must hold the same. Blocks the thread.

    Raises:
        ConfigError: another file is there, or a value does not fit into JSON.
        SeedError: the data set cannot be read, or lacks a row.
        StoreError: the disk refuses.
    """
    with disk_errors(path), published(path) as stream:
        if isinstance(file, Parquet) and path.suffix == ".parquet":
            _write_table(file, numbers, stream, look)
        else:
            suffix = next(suffix for suffix in _WRITERS if path.name.endswith(suffix))
            _WRITERS[suffix](_texts(file, numbers, look), stream)
        stream.flush()
        if path.exists() and file_sha256(path) != file_sha256(Path(stream.name)):
            raise ConfigError(
                f"--selected-out {path}: is there already, with other rows: move it away, or name another"
            )


def _write_table(file: Parquet, numbers: Numbers, stream: BinaryIO, look: Look) -> None:
    """The rows as the same kind of table, row group by row group."""
    from pyarrow import parquet

    with file.opened() as table, parquet.ParquetWriter(stream, table.schema_arrow, compression="zstd") as writer:
        first = 0
        for batch in table.iter_batches():
            look()
            inside = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, first + batch.num_rows)]
            if inside.size:
                writer.write_batch(batch.take(inside - first))
            first += batch.num_rows
    if numbers.size and numbers[-1] >= first:
        raise SeedError(f"{file.name}: has no row {numbers[-1]}: it has changed while it was read")


def _texts(file: RowFile, numbers: Numbers, look: Look) -> Iterator[bytes]:
    """The JSON of each row, on one line."""
    left = iter(numbers)
    wanted = next(left, None)
    with closing(file.rows(int(wanted or 0))) as rows:
        for row in rows:
            if wanted is None:
                return
            look()
            if row.number == wanted:
                yield row.text or _json(file, row)
                wanted = next(left, None)
    if wanted is not None:
        raise SeedError(f"{file.name}: has no row {wanted}: it has changed while it was read")


def _json(file: RowFile, row: RawRow) -> bytes:
    try:
        return orjson.dumps(row.value)
    except TypeError as error:
        keep = "a .parquet file" if isinstance(file, Parquet) else "another kind of data set"
        raise ConfigError(f"{row.place}: does not fit into JSON ({error}): name {keep} for --selected-out") from error


def _write_lines(texts: Iterator[bytes], stream: BinaryIO) -> None:
    stream.writelines(text + b"\n" for text in texts)


def _write_compressed(texts: Iterator[bytes], stream: BinaryIO) -> None:
    with zstandard.ZstdCompressor().stream_writer(stream, closefd=False) as compressor:
        for text in texts:
            compressor.write(text + b"\n")


def _write_array(texts: Iterator[bytes], stream: BinaryIO) -> None:
    lead = b"[\n"
    for text in texts:
        stream.write(lead + text)
        lead = b",\n"
    stream.write(b"[]\n" if lead == b"[\n" else b"\n]\n")


_WRITERS: dict[str, Callable[[Iterator[bytes], BinaryIO], None]] = {
    ".jsonl": _write_lines,
    ".jsonl.zst": _write_compressed,
    ".json": _write_array,
}
