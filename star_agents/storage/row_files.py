"""JSON files of rows, read as a stream: JSON lines and JSON arrays, plain or compressed.

Law: a row's number is its position among the rows of its file, blank lines not counted. A row that cannot be
read keeps its number and carries its problem, so that numbers never depend on what was wrong elsewhere.
The errors of the file system and of decompression become `SeedError` here and nowhere else.
"""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol, cast

import orjson
import zstandard

from star_agents.core.errors import SeedError
from star_agents.storage.codec import repaired

MAX_ROW_BYTES = 16 * 2**20
"""A longer line is unusable; it is skipped without being held."""

MAX_ARRAY_BYTES = 512 * 2**20
"""A JSON array must be held whole; a larger one belongs into a .jsonl file."""

_HEAD_BYTES = 4096
_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    b"\x1f\x8b": "gzip data: add .gz to its name",
    b"\x28\xb5\x2f\xfd": "zstd data: add .zst to its name",
    b"PAR1": "a Parquet file: name it .parquet",
    b"PK\x03\x04": "a zip archive: unpack it first",
}


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its file gives it. `place` names it for a person; `problem` says why `value` is not there.

    `text` is the JSON that the row was read from, where it has a line of its own.
    """

    number: int
    place: str
    value: object = None
    problem: str | None = None
    text: bytes | None = field(default=None, repr=False)


Rows = Generator[RawRow, None, None]
"""Closing it lets go of the file."""


class RowFile(Protocol):
    """A source of rows. All methods block.

    Raises (all methods):
        SeedError: the source cannot be read; one line that names it and the mend.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def rows(self, start: int) -> Rows:
        """Yield the rows numbered `start` and on."""
        ...

    def count(self) -> int:
        """Return the number of rows, usable or not."""
        ...

    def digest(self) -> str:
        """Return a SHA-256 that changes when the content does."""
        ...


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One JSON value a line: .jsonl and .ndjson, also .gz and .zst. Holds one row at a time."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def rows(self, start: int) -> Rows:
        """Yield the rows numbered `start` and on; those before are not parsed."""
        for number, (line_number, line) in enumerate(self._lines()):
            if number >= start:
                yield self._row(number, f"{self.path}:{line_number}", line)

    def count(self) -> int:
        """Return the number of lines that are not blank."""
        return sum(1 for _ in self._lines())

    def digest(self) -> str:
        """Return the SHA-256 of the file as it lies on the disk."""
        return file_sha256(self.path)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line that is not blank, with its number from 1; at most a byte more than a row may have."""
        with file_errors(self.path), _opened(self.path) as stream:
            line_number = 0
            while line := stream.readline(MAX_ROW_BYTES + 1):
                line_number += 1
                rest = line
                while len(rest) > MAX_ROW_BYTES and not rest.endswith(b"\n"):
                    rest = stream.readline(MAX_ROW_BYTES + 1)
                line = line.removeprefix(_BOM).strip() if line_number == 1 else line.strip()
                if line:
                    yield line_number, line

    def _row(self, number: int, place: str, line: bytes) -> RawRow:
        if len(line) > MAX_ROW_BYTES:
            return RawRow(number, place, problem=f"longer than {MAX_ROW_BYTES} bytes")
        try:
            return RawRow(number, place, decode(line), text=line)
        except ValueError as error:
            if number == 0:
                told = f"not JSON lines ({error}): give one JSON object a line, or name an array .json"
                raise SeedError(f"{place}: {told}") from error
            return RawRow(number, place, problem=f"not JSON ({error})")


@dataclass(frozen=True, slots=True)
class JsonArray:
    """A JSON array of rows: .json, also .gz and .zst. Held whole while it is read."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def rows(self, start: int) -> Rows:
        """Yield the rows numbered `start` and on."""
        for number, value in enumerate(self._load()[start:], start):
            yield RawRow(number, f"{self.path}: row {number + 1}", value)

    def count(self) -> int:
        """Return the length of the array."""
        return len(self._load())

    def digest(self) -> str:
        """Return the SHA-256 of the file as it lies on the disk."""
        return file_sha256(self.path)

    def _load(self) -> list[object]:
        with file_errors(self.path), _opened(self.path) as stream:
            content = stream.read(MAX_ARRAY_BYTES + 1).removeprefix(_BOM)
        if len(content) > MAX_ARRAY_BYTES:
            raise SeedError(f"{self.path}: larger than {MAX_ARRAY_BYTES} bytes: write it as .jsonl, which is streamed")
        try:
            value = decode(content)
        except json.JSONDecodeError as error:
            mend = f"{error.msg}: mend it, or name it .jsonl if it holds one object a line"
            raise SeedError(f"{self.path}:{error.lineno}: not JSON, {mend}") from error
        except ValueError as error:
            raise SeedError(f"{self.path}: not JSON ({error})") from error
        if not isinstance(value, list):
            raise SeedError(f"{self.path}: holds one {type(value).__name__}, not a list of rows: [{{...}}, {{...}}]")
        return value


def decode(text: bytes) -> object:
    """The value of a JSON text, with lone surrogates repaired.

    Raises:
        ValueError: it is not JSON, or not what JSON allows (NaN, numbers without end, nesting without end).
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # the strict reader refuses lone surrogates too, which the lax one lets in
        try:
            return repaired(json.loads(text, parse_constant=_refuse))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hex digits."""
    with file_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn every way in which a file can fail to be read into one line.

    Raises:
        SeedError: the file failed.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise SeedError(f"{path}: no such file{_looked_in(path)}; check the path") from error
    except PermissionError as error:
        raise SeedError(f"{path}: no permission to read it") from error
    except IsADirectoryError as error:
        raise SeedError(f"{path}: a folder: name a file in it") from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise SeedError(f"{path}: damaged or cut short ({error}): fetch it again") from error
    except OSError as error:
        raise SeedError(f"{path}: {error.strerror or error}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's content, decompressed, and refused where it is no text."""
    with path.open("rb") as raw, _decompressed(raw, path.suffix) as stream:
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        for magic, told in _MAGIC.items():
            if head.startswith(magic):
                raise SeedError(f"{path}: {told}")
        if b"\0" in head:
            raise SeedError(f"{path}: not text: rows are read as JSON in UTF-8")
        if not head.removeprefix(_BOM):
            raise SeedError(f"{path}: empty")
        yield stream


def _decompressed(raw: BinaryIO, suffix: str) -> io.BufferedReader:
    match suffix:
        case ".gz":
            return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)))
        case ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            return io.BufferedReader(cast("io.RawIOBase", reader))
        case _:
            return cast("io.BufferedReader", raw)


def _looked_in(path: Path) -> str:
    """Where a relative path was looked for: it is the folder of the command, not that of the config."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"
