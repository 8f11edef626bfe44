"""How full a disk may get before the run slows down, and stops."""

from pathlib import Path

import pytest

from star_agents.storage.room import BALLAST_BYTES, Room, drop_ballast, free_share, room_for, take_ballast

pytestmark = pytest.mark.fault("F-76")


@pytest.mark.parametrize(
    ("free", "before", "room"),
    [
        (0.5, Room.ENOUGH, Room.ENOUGH),
        (0.055, Room.ENOUGH, Room.ENOUGH),
        (0.049, Room.ENOUGH, Room.LOW),
        (0.055, Room.LOW, Room.LOW),
        (0.06, Room.LOW, Room.ENOUGH),
        (0.0099, Room.ENOUGH, Room.NONE),
        (0.02, Room.NONE, Room.LOW),
    ],
)
def test_f76_intake_stops_before_the_disk_is_full(free: float, before: Room, room: Room) -> None:
    """F-76: below 5 % nothing new, below 1 % the end; and intake does not flicker at the border."""
    assert room_for(free, before) is room


def test_f76_ballast_is_real_room(tmp_path: Path) -> None:
    """F-76: its blocks are taken, once, and given back when asked."""
    file = tmp_path / "ballast"
    take_ballast(file)
    take_ballast(file)
    status = file.stat()
    assert (status.st_size, status.st_blocks * 512 >= BALLAST_BYTES) == (BALLAST_BYTES, True)
    drop_ballast(file)
    drop_ballast(file)
    assert not file.exists()
    assert 0.0 < free_share(tmp_path) <= 1.0
