"""The log of a server: a file that its process writes by itself and that does not grow for ever.

Law: the process always has a plain file, never a pipe, which would stop it once full. Its descriptor appends, so
the file can be copied and cut to nothing under it (logrotate's `copytruncate`): what is written between copy and
cut is lost, which is a few lines at most every `cap_bytes`. All of this blocks: call it in a thread.
"""

import os
import shutil
from pathlib import Path

TAIL_BYTES = 131_072
"""How far back `tail` looks."""
CAP_BYTES = 64 * 2**20
"""A log and the one before it take twice this, and what is written between two looks."""


class ServerLog:
    """One file over all starts of a server; `tail` knows where the last start began."""

    def __init__(self, path: Path, *, cap_bytes: int = CAP_BYTES) -> None:
        self.path = path
        self.previous = path.with_name(f"{path.name}.1")
        self._cap_bytes = cap_bytes
        self._begins_at = 0

    def open(self) -> int:
        """A descriptor that appends, for a new process to inherit."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._begins_at = os.fstat(output).st_size
        return output

    def rotate(self) -> bool:
        """Put a log over its cap aside, in the place of the one before; return whether it was."""
        if self.path.stat().st_size <= self._cap_bytes:
            return False
        unfinished = self.previous.with_suffix(".copy")
        shutil.copyfile(self.path, unfinished)
        os.truncate(self.path, 0)
        unfinished.chmod(0o600)
        unfinished.replace(self.previous)
        self._begins_at = 0
        return True

    def tail(self) -> list[str]:
        """The last lines of the last start, within `TAIL_BYTES`."""
        with self.path.open("rb") as written:
            size = written.seek(0, os.SEEK_END)
            written.seek(max(self._begins_at, size - TAIL_BYTES))
            return written.read().decode("utf-8", "replace").splitlines()
