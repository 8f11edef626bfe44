"""Files that appear whole or not at all: written aside, made durable, then renamed into place.

The order is write, fsync, rename, fsync of the folder (docs/run-folder.md). A crash before the rename
leaves the old file in its place, and what it leaves aside is swept by the next writer.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from star_agents.storage.failpoints import failpoint

_ASIDE = ".tmp"


@contextmanager
def published(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` if the block ends well.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f"{_ASIDE}-{os.getpid()}-{path.name}")
    try:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            failpoint("publish.written")
            os.fsync(stream.fileno())
        failpoint("publish.synced")
        aside.replace(path)
        failpoint("publish.renamed")
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    failpoint("publish.done")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what writers that are no more have left aside."""
    for leftover in folder.glob(f"{_ASIDE}-*"):
        pid = leftover.name.split("-")[1]
        if not Path("/proc", pid).exists():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
