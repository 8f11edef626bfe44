"""A file system for SQLite that fails as it is told, below a folder, from some write on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

Fails = Literal["write", "sync"]


class FailingDisk:
    """Fails every write, or every sync, once `left` of them went well; None: none does."""

    def __init__(self, folder: Path, what: Fails, error: type[apsw.Error]) -> None:
        self._folder = str(folder)
        self._what = what
        self._error = error
        self.left: int | None = None

    def step(self, what: Fails, name: str) -> None:
        """One write or sync of a file."""
        if self.left is None or what != self._what or not name.startswith(self._folder):
            return
        self.left -= 1
        if self.left < 0:
            raise self._error("planted")


@contextmanager
def failing_disk(folder: Path, what: Fails, error: type[apsw.Error]) -> Iterator[FailingDisk]:
    """SQLite's default file system fails within the block, when the disk is told to."""
    disk = FailingDisk(folder, what, error)
    before = apsw.vfs_names()[0]
    vfs = _VFS(disk)
    try:
        yield disk
    finally:
        vfs.unregister()
        apsw.set_default_vfs(before)


class _VFS(apsw.VFS):
    def __init__(self, disk: FailingDisk) -> None:
        self._disk = disk
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802  # apsw's name
        return _File(self._disk, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # apsw's name
        self._disk.step("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # apsw's name
        self._disk.step("sync", self._name)
        super().xSync(flags)
