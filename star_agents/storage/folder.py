"""The run folder: where everything of a run lies, and who may touch it.

Law: at most one process writes in a run folder at a time. The lock is the kernel's (`flock`), so it cannot
outlive its holder, whatever killed it; what is written in the lock file is only for the person it turns away.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from star_agents.core import clock
from star_agents.core.errors import ConfigError, RunInUseError
from star_agents.storage.publish import sync_folder


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The layout of a run folder (docs/run-folder.md)."""

    path: Path

    @property
    def database(self) -> Path:
        """The store: with its `-wal` and `-shm` the only truth. Everything else can be made again."""
        return self.path / "run.db"

    @property
    def lock(self) -> Path:
        """Held by the process that runs."""
        return self.path / "run.lock"

    @property
    def logs(self) -> Path:
        """Logs of the model servers that we start."""
        return self.path / "logs"

    @property
    def inbox(self) -> Path:
        """Rows that were fed to the run while it ran."""
        return self.path / "inbox"

    @property
    def out(self) -> Path:
        """Exported data sets, one folder a format."""
        return self.path / "out"

    def is_begun(self) -> bool:
        """True where a run has been started here before; an empty file is a start that was killed in the act."""
        return self.database.exists() and self.database.stat().st_size > 0

    def forget(self) -> None:
        """Take the store away; for a run in which nothing was ever planned. The caller holds the lock."""
        for suffix in ("", "-wal", "-shm"):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)


@contextmanager
def hold(folder: RunFolder) -> Iterator[None]:
    """Create the folder if need be, for its owner only, and keep every other process out of it.

    Raises:
        RunInUseError: another process holds it.
        ConfigError: the path is no folder, or a symlink, or cannot be made.
    """
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        if not folder.path.is_symlink() and not folder.path.is_dir():
            folder.path.mkdir(mode=0o700)
            sync_folder(folder.path.parent)
        directory = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigError(_unusable(folder.path, error)) from error
    try:
        lock = _lock(folder, directory)
    finally:
        os.close(directory)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: RunFolder, directory: int) -> int:
    """The descriptor of the locked file; closing it unlocks."""
    try:
        lock = os.open(folder.lock.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    except OSError as error:
        raise ConfigError(_unusable(folder.lock, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 1024, 0)
        os.close(lock)
        raise RunInUseError(f"{folder.path} is in use by {_named(holder)}: stop it, or name another run.dir") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, orjson.dumps({"pid": os.getpid(), "since": clock.wall()}), 0)
    return lock


def _unusable(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"run.dir: {path} is a symlink: name the folder itself"
    return f"run.dir: {path} cannot be used: {error.strerror}; name a folder that can be made and written"


def _named(holder: bytes) -> str:
    try:
        told = orjson.loads(holder)
        return f"process {told['pid']} (since {told['since']})"
    except (orjson.JSONDecodeError, KeyError, TypeError):  # caught between its lock and its note
        return "another process"
