"""What the disk refuses, told in one line: for the files of `score`, which go on where they stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from star_agents.core.errors import StoreError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that names the file and the mend.

    Raises:
        StoreError: the file cannot be written, or not be read back.
    """
    try:
        yield
    except OSError as error:
        told = f"{path}: {error.strerror or error}"
        raise StoreError(f"{told}; mend that and run the same command again: it goes on") from error
