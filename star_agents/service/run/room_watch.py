"""Keeping an eye on the disk of a run, with some room set aside for a good end.

Law: the ballast is there as long as the watch, and is given back before anybody is told that there is no room.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from star_agents.storage.room import Room, drop_ballast, free_share, room_for, take_ballast

LOOK_S = 5.0
"""How often. A run writes some megabytes a second at most."""


async def watch_room(
    folder: Path, tell: Callable[[Room], None], *, share: Callable[[Path], float] = free_share
) -> None:
    """Tell of every change of what the disk allows; ends only by being cancelled. At first there is enough."""
    ballast, room = folder / "ballast", Room.ENOUGH
    try:
        await asyncio.to_thread(take_ballast, ballast)
        while True:
            before, room = room, room_for(await asyncio.to_thread(share, folder), room)
            if room is Room.NONE:
                await asyncio.to_thread(drop_ballast, ballast)
            if room is not before:
                tell(room)
            await asyncio.sleep(LOOK_S)
    finally:
        await asyncio.to_thread(drop_ballast, ballast)
