"""A copy of a run database, for a reader that may not put right what a crash left.

SQLite has to write beside a database to read it: to index its WAL, or after a crash to roll a journal back. Where a
reader must not or cannot, it reads a copy. Law: what is committed is in the copy, the WAL's commits included, and the
run folder is not touched; a copy that was made while somebody wrote is thrown away and made again.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from star_agents.core.errors import StoreError

TRIES = 3
COMPANIONS = ("-wal", "-journal")
"""What holds a part of the database; `-shm` is only an index, which is made again."""


def leftovers(path: Path) -> list[Path]:
    """The companions of a database that have something in them."""
    files = (path.with_name(path.name + suffix) for suffix in COMPANIONS)
    return [file for file in files if file.exists() and file.stat().st_size > 0]


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """The database and its companions in a temporary folder, which is removed in the end. Blocks.

    Raises:
        StoreError: somebody writes to it all the time, it cannot be read, or there is no room for the copy.
    """
    with tempfile.TemporaryDirectory(prefix="star-agents-") as name:
        folder = Path(name)
        try:
            is_whole = any(_copy(path, folder) for _ in range(TRIES))
        except OSError as error:
            mend = "see that it may be read, and that there is room (TMPDIR names another place)"
            raise StoreError(f"{path}: cannot be copied to {folder.parent}: {error.strerror}: {mend}") from error
        if not is_whole:
            raise StoreError(f"{path}: it was written to while it was copied: try again")
        yield folder / path.name


def _copy(path: Path, folder: Path) -> bool:
    """Copy all of it; False where somebody wrote meanwhile."""
    for file in folder.iterdir():
        file.unlink()
    before = _marks(path)
    for file in (path, *leftovers(path)):
        shutil.copyfile(file, folder / file.name)
    return _marks(path) == before


def _marks(path: Path) -> list[tuple[str, int, int]]:
    """What changes whenever somebody writes."""
    stats = [(file.name, file.stat()) for file in (path, *leftovers(path))]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
