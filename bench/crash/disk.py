"""A disk that can lose its power: it remembers what was synced, and shows what could be left at any moment.

Law: what was synced before the cut is on every image. What was not may be there, may be missing and may be there in
part, each write by itself, as it comes. SQLite's files are followed through a VFS, the others through `os.fsync`; a
name is durable once its folder was synced, which SQLite does with the first sync of a new journal or WAL.
"""

import os
import random
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

SECTOR = 512
"""Bytes that are written whole or not at all."""

_BESIDE = ("-journal", "-wal")

Write = tuple[int, bytes]
"""Where, and what; at a negative place the file is cut to `-place - 1` bytes."""


class Disk:
    """Follows the files below `root`. `look` is called after each step, while nothing else is written."""

    def __init__(self, root: Path, chance: random.Random, look: Callable[["Disk"], None]) -> None:
        self._root = root
        self._chance = chance
        self._look = look
        self._lock = threading.RLock()
        self._synced: dict[str, bytearray] = {}
        self._pending: dict[str, list[Write]] = {}
        self._named: set[str] = set()
        """SQLite's files whose names are durable."""
        self._removed: dict[str, bytearray] = {}
        """Files that come back if the power goes before their folder is synced."""
        self._contents: dict[int, bytes] = {}
        """Of other files, by inode, as of their last sync."""
        self._folders: dict[Path, dict[str, int]] = {}
        """Folders as of their last sync: names and inodes."""
        self._fsync = os.fsync

    def follow(self) -> None:
        """Be the default file system of SQLite, and listen to `os.fsync`, from now on."""
        self._vfs = _FollowedVFS(self)
        vars(os)["fsync"] = self._on_fsync

    def wrote(self, name: str, write: Write) -> None:
        """SQLite has written, and nobody has synced."""
        if not self._is_ours(name):
            return
        with self._lock:
            self._synced.setdefault(name, bytearray())
            self._pending.setdefault(name, []).append(write)
            self._look(self)

    def synced(self, name: str) -> None:
        """SQLite has synced a file."""
        if not self._is_ours(name):
            return
        with self._lock:
            content = self._synced.setdefault(name, bytearray())
            for write in self._pending.pop(name, ()):
                _apply(content, write)
            if name.endswith(_BESIDE) and name not in self._named:
                self._folder_synced()
            self._look(self)

    def deleted(self, name: str, *, is_durable: bool) -> None:
        """SQLite has removed a file, and may have synced the folder."""
        if not self._is_ours(name):
            return
        with self._lock:
            self._pending.pop(name, None)
            self._removed[name] = self._synced.pop(name, bytearray())
            self._named.discard(name)
            if is_durable:
                self._folder_synced()
            self._look(self)

    def image(self, folder: Path) -> None:
        """Write what could be left of the root, if the power were cut now."""
        with self._lock:
            folder.mkdir()
            for name, content in self._synced.items():
                if name in self._named or self._chance.random() < 0.5:
                    (folder / Path(name).name).write_bytes(self._left_of(name, content))
            for name, content in self._removed.items():
                if name not in self._synced and self._chance.random() < 0.5:
                    (folder / Path(name).name).write_bytes(content)
            for path, names in self._folders.items():
                if path != self._root:
                    self._leave_folder(path, names, folder / path.name)

    def _folder_synced(self) -> None:
        """SQLite's files, and no others, are as they are now."""
        self._named = set(self._synced)
        self._removed.clear()

    def _left_of(self, name: str, content: bytearray) -> bytes:
        left, share = bytearray(content), self._chance.choice((0.0, 0.5, 1.0))
        for place, data in self._pending.get(name, ()):
            if self._chance.random() < share:
                torn = data if place < 0 or self._chance.random() < 0.8 else data[: self._torn_at(len(data))]
                _apply(left, (place, torn))
        return bytes(left)

    def _leave_folder(self, path: Path, names: dict[str, int], to: Path) -> None:
        to.mkdir()
        now = {file.name: file.stat().st_ino for file in path.iterdir()}
        for name in names.keys() | now.keys():
            inode = names.get(name) if self._chance.random() < 0.5 else now.get(name)
            if inode is not None:
                (to / name).write_bytes(self._contents.get(inode, b"") or self._torn_file(path, inode))

    def _torn_file(self, path: Path, inode: int) -> bytes:
        """Never synced: some of it."""
        content = next((file.read_bytes() for file in path.iterdir() if file.stat().st_ino == inode), b"")
        return content[: self._torn_at(len(content))]

    def _torn_at(self, size: int) -> int:
        return self._chance.randrange(size // SECTOR + 1) * SECTOR

    def _is_ours(self, name: str) -> bool:
        return name.startswith(str(self._root))

    def _on_fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path, status = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
        if not self._is_ours(str(path)):
            return
        with self._lock:
            if stat.S_ISDIR(status.st_mode):
                self._folders[path] = {file.name: file.stat().st_ino for file in path.iterdir()}
                if path == self._root:
                    self._folder_synced()
                self._folders |= {one: {} for one in path.iterdir() if one.is_dir() and one not in self._folders}
            else:
                self._contents[status.st_ino] = path.read_bytes()
            self._look(self)


def _apply(content: bytearray, write: Write) -> None:
    place, data = write
    if place < 0:
        del content[-place - 1 :]
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


class _FollowedVFS(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("followed", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_FollowedFile":  # noqa: N802  # apsw's name
        return _FollowedFile(self._disk, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: FBT001, N802  # apsw's
        super().xDelete(name, syncdir)
        self._disk.deleted(name, is_durable=syncdir)


class _FollowedFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # apsw's name
        super().xWrite(data, offset)
        self._disk.wrote(self._name, (offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802  # apsw's name
        super().xTruncate(size)
        self._disk.wrote(self._name, (-size - 1, b""))

    def xSync(self, flags: int) -> None:  # noqa: N802  # apsw's name
        super().xSync(flags)
        self._disk.synced(self._name)
