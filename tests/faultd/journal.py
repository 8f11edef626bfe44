"""What the server really saw and served, one JSON object a line, appended as it happens.

Each request is a line when it came and a line when its reply was out: a request without the second was cut off.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `fault` names what was done to the reply; `is_served` is true for a right reply sent whole."""

    number: int
    event: str
    fingerprint: str
    fault: str | None = None
    is_served: bool = False


class Journal:
    """Keeps entries in memory, and in a file where one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._file: TextIO | None = path.open("a", encoding="utf-8", buffering=1) if path else None

    def note(self, entry: Entry) -> None:
        """Append."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(asdict(entry)) + "\n")

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()


def read_journal(path: Path) -> Iterator[Entry]:
    """The entries of a file; a last line that was cut off is left out."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield Entry(**json.loads(line))


def sends(entries: Iterable[Entry]) -> Counter[str]:
    """How often each request was sent, by fingerprint."""
    return Counter(entry.fingerprint for entry in entries if entry.event == "request")


def served(entries: Iterable[Entry]) -> Counter[str]:
    """How often each request was answered rightly and whole, by fingerprint."""
    return Counter(entry.fingerprint for entry in entries if entry.is_served)
