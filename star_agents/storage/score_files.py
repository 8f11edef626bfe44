"""The finished output of `score`: a file of scores, and beside it a note that says what they are of.

Law: the file of scores appears whole and after its note, and the note holds its checksum. So a file whose note fits
is the finished one, whatever was killed when, and one whose note does not fit was never ours or was changed.
The same rows give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson
import zstandard

from star_agents.core.errors import ConfigError
from star_agents.storage.disk_errors import disk_errors
from star_agents.storage.publish import published
from star_agents.storage.row_files import file_sha256
from star_agents.storage.score_journal import Header
from star_agents.storage.score_rows import RowShape

PARQUET_ROWS = 1 << 14
"""Rows of one Parquet row group, and all that is held at once."""

PARQUET_KEY = b"star_agents"
"""The key in a Parquet file's metadata that says what the scores are of."""

_ZSTD_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a file of scores: what they are of, the file's SHA-256, and a report on it."""

    header: Header
    sha256: str
    report: dict[str, Any]


class Tally(Protocol):
    """Looks at every row that is written."""

    def add(self, row: dict[str, Any]) -> None:
        """Take one row into account."""
        ...

    def report(self) -> dict[str, Any]:
        """What it came to, as JSON values."""
        ...


Write = Callable[[bytes, list[dict[str, Any]]], None]
"""Takes the next rows: as their lines, and as what the lines say."""

OpenSink = Callable[[BinaryIO, RowShape, Header], AbstractContextManager[Write]]


def note_path(path: Path) -> Path:
    """Where the note of a file of scores lies."""
    return path.with_name(f"{path.name}.meta.json")


def sink_for(path: Path) -> OpenSink:
    """What writes a file of this name.

    Raises:
        ConfigError: its name ends in nothing that we write.
    """
    for suffix, sink in _SINKS.items():
        if path.name.endswith(suffix):
            return sink
    raise ConfigError(f"--out {path}: name a file that ends in {', '.join(_SINKS)}")


def publish_scores(path: Path, shape: RowShape, header: Header, blocks: Iterable[bytes], tally: Tally) -> Note:
    """Write blocks of lines as a file of scores with its note. Blocks the thread; holds one row group at most.

    Raises:
        StoreError: the disk refuses.
    """
    with disk_errors(path), published(path) as stream:
        with sink_for(path)(stream, shape, header) as write:
            for lines in blocks:
                rows = [orjson.loads(line) for line in lines.splitlines()]
                write(lines, rows)
                for row in rows:
                    tally.add(row)
        stream.flush()
        note = Note(header, file_sha256(Path(stream.name)), tally.report())
        with published(note_path(path)) as beside:
            beside.write(orjson.dumps(asdict(note), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return note


def finished_note(path: Path) -> Note | None:
    """The note of a finished file of scores; None where there is no such file, or its note does not fit it.

    Raises:
        SeedError: the file cannot be read.
    """
    try:
        note = Note(**orjson.loads(note_path(path).read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError):
        return None
    return note if path.is_file() and file_sha256(path) == note.sha256 else None


def discard_scores(path: Path) -> None:
    """Take a file of scores away, with its note.

    Raises:
        StoreError: the disk refuses.
    """
    with disk_errors(path):
        path.unlink(missing_ok=True)
        note_path(path).unlink(missing_ok=True)


@contextmanager
def _lines(stream: BinaryIO, _shape: RowShape, _header: Header) -> Iterator[Write]:
    def write(lines: bytes, _rows: list[dict[str, Any]]) -> None:
        stream.write(lines)

    yield write


@contextmanager
def _compressed_lines(stream: BinaryIO, _shape: RowShape, _header: Header) -> Iterator[Write]:
    with zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(stream, closefd=False) as compressor:

        def write(lines: bytes, _rows: list[dict[str, Any]]) -> None:
            compressor.write(lines)

        yield write


@contextmanager
def _parquet(stream: BinaryIO, shape: RowShape, header: Header) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = shape.schema().with_metadata({PARQUET_KEY: orjson.dumps(header)})
    waiting: list[dict[str, Any]] = []

    def write(_lines: bytes, rows: list[dict[str, Any]]) -> None:
        waiting.extend(rows)
        if len(waiting) >= PARQUET_ROWS:
            flush()

    def flush() -> None:
        writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
        waiting.clear()

    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        yield write
        if waiting:
            flush()


_SINKS: dict[str, OpenSink] = {".jsonl": _lines, ".jsonl.zst": _compressed_lines, ".parquet": _parquet}
