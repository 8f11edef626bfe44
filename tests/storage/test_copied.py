"""A run that ended badly is read without being touched: from a copy where SQLite would have to write."""

import errno
import logging
import shutil
from pathlib import Path

import apsw
import pytest

from star_agents.core.errors import StoreError
from star_agents.storage.copied import TRIES, copied
from star_agents.storage.database import open_writer
from star_agents.storage.recovery import read_standing
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, plan

pytestmark = pytest.mark.fault("F-64")

NUM_PLANS = 3
SPILLING = """
PRAGMA cache_size = 5;
BEGIN IMMEDIATE;
CREATE TABLE half (written);
WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 500)
INSERT INTO half SELECT randomblob(4000) FROM up;
"""
"""Too much for the cache: pages are overwritten before there is a commit, and the journal knows what they were."""


def killed(source: Path, folder: Path) -> Path:
    """The database as a kill at this moment leaves it, without its index of the WAL."""
    folder.mkdir()
    for suffix in ("", "-wal", "-journal"):
        file = source.with_name(source.name + suffix)
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    return folder / source.name


@pytest.fixture
def in_wal(tmp_path: Path) -> Path:
    """Three plans whose commits are in the WAL alone."""

    async def main() -> Path:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            for number in range(NUM_PLANS):
                await store.assign(plan(number))
            return killed(tmp_path / "run.db", tmp_path / "killed")

    return run_real(main())


def with_hot_journal(source: Path, folder: Path) -> Path:
    """The database as a kill in the middle of a transaction with a journal leaves it."""
    connection = apsw.Connection(str(source))
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute(SPILLING)
    path = killed(source, folder)
    connection.close()
    assert path.with_name("run.db-journal").stat().st_size > 0
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_commits_of_a_wal_that_cannot_be_indexed_are_read(in_wal: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of them; it is said once that a copy is read, and nothing has changed."""
    in_wal.with_name("run.db-shm").symlink_to("nowhere")  # nobody can make the index here, root included
    before = contents(in_wal.parent)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert read_standing(in_wal).in_flight == NUM_PLANS
    assert contents(in_wal.parent) == before
    assert [record.message for record in caplog.records if "reading a copy" in record.message] == [
        f"{in_wal}: its folder cannot be written, or its last stop was no clean one: reading a copy"
    ]


def test_a_run_that_stopped_cleanly_is_read_where_nothing_can_be_written(in_wal: Path) -> None:
    """SQLite wants a WAL and its index even for a database that has none."""
    connection = apsw.Connection(str(in_wal))
    connection.pragma("user_version")
    connection.close()  # takes over what is in the WAL, and takes it away
    assert contents(in_wal.parent).keys() == {"run.db"}
    for suffix in ("-wal", "-shm"):
        in_wal.with_name(f"run.db{suffix}").symlink_to("nowhere")
    assert read_standing(in_wal).in_flight == NUM_PLANS


def test_a_transaction_that_a_kill_cut_off_is_not_seen(in_wal: Path, tmp_path: Path) -> None:
    """A reader may not roll it back where it lies; the copy has what was committed before."""
    path = with_hot_journal(in_wal, tmp_path / "hot")
    before = contents(path.parent)
    assert read_standing(path).in_flight == NUM_PLANS
    assert contents(path.parent) == before


def test_a_first_start_that_was_cut_off_is_told_as_such(tmp_path: Path) -> None:
    """There is nothing in it yet, and the mend is to start again, which works."""
    path = with_hot_journal(tmp_path / "run.db", tmp_path / "hot")
    with pytest.raises(StoreError, match="ended before anything was stored: start it again"):
        read_standing(path)
    open_writer(path, MANIFEST).close()
    assert read_standing(path).manifest == MANIFEST


def test_what_cannot_be_read_for_another_reason_is_not_copied(tmp_path: Path) -> None:
    """A missing database stays a missing database."""
    with pytest.raises(StoreError, match="cannot be opened"):
        read_standing(tmp_path / "run.db")


def test_a_copy_made_while_somebody_wrote_is_made_again(in_wal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is whole; where somebody writes all the time, that is said."""
    wal, writes = in_wal.with_name("run.db-wal"), [1]
    copyfile = shutil.copyfile

    def copy(source: Path, target: Path) -> None:
        copyfile(source, target)
        if source == wal and writes[0]:
            writes[0] -= 1
            wal.write_bytes(wal.read_bytes() + b"more")

    monkeypatch.setattr(shutil, "copyfile", copy)
    with copied(in_wal) as whole:
        assert whole.with_name("run.db-wal").read_bytes() == wal.read_bytes()
    assert writes == [0]
    writes[0] = TRIES
    with pytest.raises(StoreError, match="while it was copied: try again"), copied(in_wal):
        pass


def test_no_room_for_the_copy_is_told(in_wal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it was to go, and how to choose another place."""

    def full(_source: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match=r"No space left on device: .*TMPDIR names another"), copied(in_wal):
        pass
