"""A run hears of its disk filling up in time."""

import asyncio
from pathlib import Path

import pytest

from star_agents.service.run import room_watch
from star_agents.service.run.room_watch import watch_room
from star_agents.storage.room import Room
from tests.loops import run_real


@pytest.mark.fault("F-76")
def test_f76_each_change_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-76: filling, filled, emptied; the ballast is gone when there is no room, and when the watch ends."""
    monkeypatch.setattr(room_watch, "LOOK_S", 0.0)
    shares = iter([0.5, 0.04, 0.04, 0.055, 0.005, 0.9])
    told: list[Room] = []
    is_there: list[bool] = []

    async def main() -> None:
        is_over, loop = asyncio.Event(), asyncio.get_running_loop()

        def share(_: Path) -> float:
            is_there.append((tmp_path / "ballast").exists())
            left = next(shares, None)
            if left is None:
                loop.call_soon_threadsafe(is_over.set)
            return left or 0.9

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch_room(tmp_path, told.append, share=share))
            await is_over.wait()
            watching.cancel()

    run_real(main())
    assert told == [Room.LOW, Room.NONE, Room.ENOUGH]
    assert is_there[:6] == [True] * 5 + [False]
    assert not (tmp_path / "ballast").exists()
