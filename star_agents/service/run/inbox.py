"""Rows that were fed to a run while it ran: numbered, on the disk, and there for every later start.

Law: what `append` has returned from survives a crash and a power cut, in the order in which it came, once. A crash in
the middle of an append leaves all of it or nothing: a torn end is cut off by the next start, before anything is
numbered behind it. Where a followed file was read to stands with its rows, so no row of it is ever taken twice.

Rows lie in files of `SEGMENT_ROWS`, named by their first number: a start reads the last one alone.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from star_agents.core.errors import StoreError
from star_agents.storage.publish import sync_folder

SEGMENT_ROWS = 50_000
"""At most so many rows, and one append, in a file: a tenth of a second to read."""

POSTED = ""
"""The origin of rows that were posted, not followed."""


@dataclass(frozen=True, slots=True)
class Fed:
    """Rows to be taken in together. Of a followed file, `origin` names it and `offset` is where it was read to.

    `command` is the order that brought them, where there was one.
    """

    rows: Sequence[object]
    origin: str = POSTED
    offset: int = 0
    command: int | None = None


@dataclass(slots=True)
class Inbox:
    """The rows that were fed, by their number from 0. All methods block; one thread at a time appends."""

    folder: Path
    count: int = 0
    """Rows that are durable."""
    offsets: dict[str, int] = field(default_factory=dict)
    """How far each followed file was read."""
    _first: int = 0
    """The number of the first row of the last file."""

    def open(self) -> None:
        """Find out what is there, and cut off what a crash has torn.

        Raises:
            StoreError: the folder cannot be used.
        """
        with _disk_errors(self.folder):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            files = self._files()
            if not files:
                return
            self._first = int(files[-1].stem)
            _cut_torn(files[-1])
            for line in _lines(files[-1]):
                self._note(line)
            self.count += self._first

    def append(self, fed: Fed) -> int:
        """Take rows in; returns how many there are then.

        Raises:
            StoreError: they are not durable.
        """
        if self.count - self._first >= SEGMENT_ROWS:
            self._first = self.count
        head = {"offsets": self.offsets} if self.count == self._first else {}
        told = {"rows": list(fed.rows), "origin": fed.origin, "offset": fed.offset}
        line = orjson.dumps({**head, **told, **({} if fed.command is None else {"command": fed.command})})
        with _disk_errors(self.folder):
            file = self.file_of(self._first)
            is_new = not file.exists()
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "ab") as stream:
                stream.write(line + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                sync_folder(self.folder)
        self.count += len(fed.rows)
        if fed.origin != POSTED:
            self.offsets[fed.origin] = fed.offset
        return self.count

    def fed_by(self, commands: Collection[int]) -> dict[int, int]:
        """Of these orders those whose rows are here, with how many rows there were then.

        The newest file is looked at first, and none that is older than all of them.

        Raises:
            StoreError: a file cannot be read.
        """
        found: dict[int, int] = {}
        with _disk_errors(self.folder):
            for file in reversed(self._files()):
                count, numbers = int(file.stem), list[int]()
                for line in _lines(file):
                    count += len(line["rows"])
                    if (number := line.get("command")) is not None:
                        numbers.append(number)
                        found |= {number: count} if number in commands else {}
                if numbers and numbers[0] < min(commands):
                    break
        return found

    def _note(self, line: Mapping[str, Any]) -> None:
        self.count += len(line["rows"])
        self.offsets |= line.get("offsets", {})
        if line["origin"] != POSTED:
            self.offsets[line["origin"]] = line["offset"]

    def segment_of(self, number: int) -> int:
        """The number of the first row in the file that a row is in, or will be."""
        firsts = [int(file.stem) for file in self._files()]
        return max((first for first in firsts if first <= number), default=0)

    def file_of(self, first: int) -> Path:
        """The file whose first row has this number."""
        return self.folder / f"{first:012}.jsonl"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


@dataclass(slots=True)
class InboxReader:
    """Reads the rows of an inbox once, in order, from the row numbered `start` on. Blocks; one thread at a time reads.

    It knows where it was: reading costs what is new, however much there was before.
    """

    inbox: Inbox
    start: int
    _first: int | None = None
    """The number of the first row of the file it is in."""
    _offset: int = 0
    _number: int = 0
    """Of the first row behind `_offset`."""
    _ready: deque[object] = field(default_factory=deque)

    def read(self, limit: int) -> list[object]:
        """The next rows that are durable, at most `limit`; none where there are no more by now.

        Raises:
            StoreError: a file of them cannot be read.
        """
        with _disk_errors(self.inbox.folder):
            while len(self._ready) < limit and self._number < self.inbox.count:
                if self._first is None:
                    self._first = self._number = self.inbox.segment_of(self.start)
                self._read_file(self._first, limit)
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def _read_file(self, first: int, limit: int) -> None:
        """Read on in a file; where it has ended and there are more rows, they are in the next."""
        file = self.inbox.file_of(first)
        with file.open("rb") as stream:
            stream.seek(self._offset)
            while len(self._ready) < limit and self._number < self.inbox.count:
                if not (line := stream.readline()):
                    self._first, self._offset = self._number, 0
                    return
                self._take(_read_line(str(file), line)["rows"])
            self._offset = stream.tell()

    def _take(self, rows: Sequence[object]) -> None:
        self._ready.extend(rows[max(0, self.start - self._number) :])
        self._number += len(rows)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The appends of a file, in order."""
    with file.open("rb") as stream:
        for line in stream:
            yield _read_line(str(file), line)


def _read_line(file: str, line: bytes) -> dict[str, Any]:
    try:
        return dict(orjson.loads(line))
    except (orjson.JSONDecodeError, ValueError, TypeError) as error:
        raise StoreError(f"{file}: a damaged line ({line[:40]!r}...); restore a copy of the run folder") from error


def _cut_torn(file: Path) -> None:
    """Take away what stands behind the last line end."""
    with file.open("rb+") as stream:
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            stream.truncate(whole)
            os.fsync(stream.fileno())


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}: check the rights and the room on the disk") from error
