"""What the server really received and served: the oracle for calls that were lost, doubled or sent again.

Law: each request is an entry when it came and an entry when it ended; one without the second was under way. The
loop only appends to a list; a thread writes the file, a batch at a time, and all of it before `close` returns and
before a `flush` is answered.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Literal, NamedTuple

import orjson

BATCH_S = 0.05
"""Entries wait so long for others."""

What = Literal["request", "reply", "gone"]
"""It came; the reply was handed over, or as much of it as the fault let through; the client left first."""


class Entry(NamedTuple):
    """One line. `times` is how often the same request had come before; `is_served`: a right reply, sent whole."""

    number: int
    event: What
    fingerprint: str
    times: int = 0
    status: int | None = None
    fault: str | None = None
    is_served: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    at_s: float = 0.0
    """Since the server began to listen."""


_Batch = tuple[list[Entry], Callable[[], None] | None]


class Journal:
    """Keeps entries in memory, in a file, or in both."""

    def __init__(self, path: Path | None = None, *, keeps_entries: bool = True) -> None:
        self.entries: list[Entry] = []
        self._keeps_entries = keeps_entries
        self._unwritten: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread: Thread | None = None
        if path is not None:
            self._thread = Thread(target=self._write, args=(path,), name="mock-journal", daemon=True)
            self._thread.start()

    def note(self, entry: Entry) -> None:
        """Append."""
        if self._keeps_entries:
            self.entries.append(entry)
        if self._thread is None:
            return
        self._unwritten.append(entry)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self._hand_over)

    def flush(self, done: Callable[[], None]) -> None:
        """Call `done` on the running loop once everything noted so far is in the file."""
        if self._thread is None:
            done()
            return
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(done)

        self._hand_over(tell)

    def close(self) -> None:
        """Write the rest and close the file; blocks until that is done."""
        if self._thread is None:
            return
        self._hand_over()
        self._batches.put(None)
        self._thread.join()
        self._thread = None

    def _hand_over(self, done: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._unwritten = self._unwritten, []
        self._batches.put((batch, done))

    def _write(self, path: Path) -> None:
        with path.open("ab") as file:
            while (batch := self._batches.get()) is not None:
                entries, done = batch
                file.write(b"".join(orjson.dumps(entry._asdict()) + b"\n" for entry in entries))
                file.flush()
                if done is not None:
                    done()


def read_journal(path: Path) -> Iterator[Entry]:
    """The entries of a file; a last line that was cut off is left out."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield Entry(**orjson.loads(line))


def sends(entries: Iterable[Entry]) -> Counter[str]:
    """How often each request was sent, by fingerprint."""
    return Counter(entry.fingerprint for entry in entries if entry.event == "request")


def served(entries: Iterable[Entry]) -> Counter[str]:
    """How often each request was answered rightly and whole, by fingerprint."""
    return Counter(entry.fingerprint for entry in entries if entry.is_served)
