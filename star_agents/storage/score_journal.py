"""The unfinished output of `score`: blocks of rows, each there whole or not at all.

Layout: one line of JSON that says what the scores are of, then blocks. A block is a line of numbers, the last two
of them checksums, and as many bytes of rows as the line says.

Law: a block counts once all of it is on the disk (`append` returns) and for ever after. What stands behind the
last block whose checksums hold was torn by a crash, and is cut off when the file is opened again. One process at a
time holds the file, by the kernel's lock on it, which cannot outlive its holder.
"""

import fcntl
import io
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import orjson

from star_agents.core.errors import ConfigError, RunInUseError
from star_agents.storage.disk_errors import disk_errors
from star_agents.storage.publish import sync_folder

Header = Mapping[str, Any]
"""What the scores are of: names and JSON values."""

MARK = "star_agents_scores"
"""The key that a header of ours begins with; its value is the version of the layout."""

LAYOUT = 1

_BEGINNING = orjson.dumps({MARK: LAYOUT})[:-1]

_MAX_HEADER_BYTES = 1 << 20
_MAX_HEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """Rows `first` and on, as JSON lines: how many, and of them those without an instruction or without a score."""

    first: int
    rows: int
    unusable: int
    unscored: int
    lines: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the output has come, in rows from the beginning of the data set."""

    rows: int = 0
    unusable: int = 0
    unscored: int = 0

    def after(self, block: ScoredBlock) -> "Standing":
        """The same with one block more."""
        return Standing(self.rows + block.rows, self.unusable + block.unusable, self.unscored + block.unscored)


class ScoreJournal:
    """A part file, opened, locked and mended. Its methods block.

    `header` is None where nothing has been begun, or nothing of it is wanted (`fresh`; the file keeps what it holds
    until `begin`). `num_cut` is how many torn bytes were cut off.

    Raises (opening it, and every method):
        RunInUseError: another process holds the file.
        ConfigError: the file is something else.
        StoreError: the disk refuses.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.header: Header | None = None
        self.standing = Standing()
        self.num_cut = 0
        self._writing = threading.Lock()  # a cancelled append may still be writing when the file is closed
        with disk_errors(path):
            self._file = _locked(path)
            try:
                self._recover(fresh=fresh)
            except BaseException:
                self._file.close()
                raise

    def begin(self, header: Header) -> None:
        """Start anew: whatever the file held is gone, and the header is durable."""
        with self._writing, disk_errors(self.path):
            self._file.seek(0)
            self._file.truncate()
            self._write(orjson.dumps({MARK: LAYOUT, **header}, option=orjson.OPT_APPEND_NEWLINE))
            sync_folder(self.path.parent)
        self.header, self.standing = header, Standing()

    def append(self, block: ScoredBlock) -> None:
        """Add the next block; when this returns it is durable. One sync a block."""
        with self._writing, disk_errors(self.path):
            self._write(_head(block) + block.lines)
            self.standing = self.standing.after(block)

    def blocks(self) -> Iterator[ScoredBlock]:
        """Every block from the first, one in memory at a time."""
        with disk_errors(self.path), self.path.open("rb") as stream:
            stream.readline()
            for block, _ in _whole_blocks(stream):
                yield block

    def discard(self) -> None:
        """Take the file away: what it held has been written elsewhere."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; one that holds nothing is taken away."""
        with self._writing, disk_errors(self.path):
            if self.is_empty():
                self.discard()
            self._file.close()

    def is_empty(self) -> bool:
        """True where no row would be lost with the file."""
        return self.standing.rows == 0 and (self.header is not None or os.fstat(self._file.fileno()).st_size == 0)

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def _recover(self, *, fresh: bool) -> None:
        """Read what is whole, cut off what is not, and stand at the end."""
        end = 0
        with self.path.open("rb") as stream:
            header = _read_header(stream.readline(_MAX_HEADER_BYTES), self.path)
            if fresh:
                return
            if header is not None:
                _check_layout(header.pop(MARK), self.path)
                self.header, end = header, stream.tell()
                for block, block_end in _whole_blocks(stream):
                    self.standing, end = self.standing.after(block), block_end
        self.num_cut = self._file.seek(0, os.SEEK_END) - end
        self._file.truncate(end)
        self._file.seek(end)


def _locked(path: Path) -> io.FileIO:
    """The file, made if need be, open and locked; not buffered, so that nothing is written twice or late."""
    while True:
        file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise RunInUseError(f"{path}: another process is at it: wait for it, or name another --out") from error
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # its last holder took it away between our two calls


def _read_header(line: bytes, path: Path) -> dict[str, Any] | None:
    """What the scores are of; None where the header itself was torn, and nothing can stand behind it."""
    if not line.endswith(b"\n") and (line.startswith(_BEGINNING) or _BEGINNING.startswith(line.rstrip(b"\0"))):
        return None
    try:
        header = orjson.loads(line)
        if MARK in header:
            return dict(header)
    except (orjson.JSONDecodeError, TypeError):
        pass
    raise ConfigError(f"{path}: is no part file of `score`: move it away, or name another --out")


def _check_layout(layout: object, path: Path) -> None:
    if layout != LAYOUT:
        raise ConfigError(f"{path}: was begun by another version of star-agents: finish it there, or add --fresh")


def _head(block: ScoredBlock) -> bytes:
    """The line before a block: its numbers, the checksum of its rows, and the checksum of all that."""
    numbers = (block.first, block.rows, block.unusable, block.unscored, len(block.lines), crc32(block.lines))
    text = " ".join(map(str, numbers)).encode()
    return b"%b %d\n" % (text, crc32(text))


def _whole_blocks(stream: BinaryIO) -> Iterator[tuple[ScoredBlock, int]]:
    """Blocks from where the stream stands, and where each ends, up to the first that is not whole."""
    next_row = 0
    while head := _read_head(stream.readline(_MAX_HEAD_BYTES)):
        first, rows, unusable, unscored, size, checksum = head
        lines = stream.read(size)
        if first != next_row or len(lines) != size or crc32(lines) != checksum:
            return
        yield ScoredBlock(first, rows, unusable, unscored, lines), stream.tell()
        next_row += rows


def _read_head(line: bytes) -> list[int] | None:
    """The numbers in the line before a block; None where it is no such line."""
    text, _, checksum = line.rpartition(b" ")
    if not line.endswith(b"\n") or checksum.strip() != b"%d" % crc32(text):
        return None
    return [int(number) for number in text.split()]
