"""How much room a disk has left, and what follows: a run slows down before its store is the one to find out.

Law: intake stops while there is little room, so that what is in flight can be finished; with next to none the run
stops in good order, on what the ballast gives back.
"""

import os
from enum import StrEnum
from pathlib import Path

LOW, NONE = 0.05, 0.01
"""Shares of the disk that are free: below the first nothing new is begun, below the second the run ends."""

ENOUGH = 0.06
"""From here on intake goes on: not at the very border, which it would cross again at once."""

BALLAST_BYTES = 64 * 2**20
"""Kept for the end: closing the store in good order takes room too."""


class Room(StrEnum):
    """What may be done with the room there is."""

    ENOUGH = "enough"
    LOW = "low"
    NONE = "none"


def room_for(free: float, before: Room) -> Room:
    """What the free share of the disk allows, after what it allowed before."""
    if free < NONE:
        return Room.NONE
    if free < (LOW if before is Room.ENOUGH else ENOUGH):
        return Room.LOW
    return Room.ENOUGH


def free_share(folder: Path) -> float:
    """The share of its disk that is free to us. Blocks."""
    status = os.statvfs(folder)
    return status.f_bavail / status.f_blocks if status.f_blocks else 1.0


def take_ballast(file: Path) -> None:
    """Set room aside, if there is plenty and it is not set aside yet. Blocks."""
    if file.exists() or free_share(file.parent) < ENOUGH:
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
    except OSError:  # a file system that cannot, or that was filled meanwhile: do without
        file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def drop_ballast(file: Path) -> None:
    """Give it back."""
    file.unlink(missing_ok=True)
