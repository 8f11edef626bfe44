"""On what kind of file system a folder lies. SQLite's locks and WAL need one that is local."""

import os
from pathlib import Path

from star_agents.core.errors import ConfigError

REMOTE = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gpfs",
    "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "virtiofs",
})  # fmt: skip
"""File systems, as the kernel names them, that other machines may write to at the same time."""


def kind_of(folder: Path, mounts: str) -> str:
    """The file system below `folder`, an absolute path, by the text of `/proc/self/mountinfo`; empty if not known."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].encode().decode("unicode_escape"))  # blanks are written in octal
        depth = len(point.parts)
        if depth >= best and folder.is_relative_to(point):
            best, kind = depth, right.split()[0]
    return kind


def check_local(folder: Path) -> None:
    """Refuse a folder on a network file system. Blocks.

    Raises:
        ConfigError: so it is, by what the kernel says; where it says nothing, nothing is refused.
    """
    mounts = Path("/proc/self/mountinfo")
    if mounts.exists():
        kind = kind_of(Path(os.path.realpath(folder)), mounts.read_text())
        if kind in REMOTE:
            raise ConfigError(
                f"run.dir: {folder} lies on a network file system ({kind}): name a folder on a local disk"
            )
