"""Disks that fill up, fail, or are none of ours: the run stops at once, and nothing that was acknowledged is lost."""

import asyncio
import random
from pathlib import Path

import apsw
import pytest

from star_agents.core.errors import ConfigError, StoreError
from star_agents.storage.database import WAL_LIMIT_BYTES
from star_agents.storage.filesystem import check_local, kind_of
from star_agents.storage.integrity import examine
from star_agents.storage.recovery import read_standing, recover
from star_agents.storage.rows import iter_rows
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, plan, update
from tests.storage.failing_disk import Fails, failing_disk


async def write_until_it_fails(path: Path, disk_fails: object) -> int:
    """Plans that were acknowledged before the first that was not; every later write is refused for the same reason."""
    store = await RunStore.open(path, MANIFEST)
    acknowledged = 0
    try:
        disk_fails()  # type: ignore[operator]  # a callable
        with pytest.raises(StoreError) as first:  # noqa: PT012  # until it fails
            for number in range(10_000):
                await store.assign(plan(number))
                acknowledged += 1
        with pytest.raises(StoreError) as second:
            await store.respond(asked(0, 0), completion("answer"))
        assert str(first.value) == str(second.value)
        assert "resume" in str(first.value)
    finally:
        await store.close()
    return acknowledged


@pytest.mark.parametrize(
    ("what", "error", "after"),
    [
        pytest.param("sync", apsw.IOError, 7, marks=pytest.mark.fault("F-75")),
        pytest.param("write", apsw.IOError, 40, marks=pytest.mark.fault("F-75")),
        pytest.param("write", apsw.FullError, 40, marks=pytest.mark.fault("F-76")),
        pytest.param("sync", apsw.FullError, 7, marks=pytest.mark.fault("F-76")),
    ],
)
def test_a_disk_that_fails_stops_the_store(tmp_path: Path, what: Fails, error: type[apsw.Error], after: int) -> None:
    """One failed commit, and nothing is written any more, though the disk be well again; a start finds the rest."""
    path = tmp_path / "run.db"
    with failing_disk(tmp_path, what, error) as disk:

        def begin() -> None:
            disk.left = after

        acknowledged = run_real(write_until_it_fails(path, begin))
        disk.left = None
        assert acknowledged
    examine(path)
    assert read_standing(path).next_seed in {acknowledged, acknowledged + 1}


@pytest.mark.fault("F-78")
def test_f78_a_reader_pins_the_wal_no_longer_than_it_reads(tmp_path: Path) -> None:
    """F-78: it grows while somebody reads, and is cut back to its limit by the first checkpoint after that."""
    path, wal = tmp_path / "run.db", tmp_path / "run.db-wal"
    text = "".join(random.Random(1).choices("abcdefghijklmnop", k=60_000))

    async def main() -> tuple[int, int]:
        async with await RunStore.open(path, MANIFEST) as store:
            await store.assign(plan(0))
            reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM plan").fetchall()
            number = 0
            while wal.stat().st_size < 1.2 * WAL_LIMIT_BYTES:
                async with asyncio.TaskGroup() as group:
                    for _ in range(128):
                        number += 1
                        group.create_task(store.respond(asked(0, number), completion(f"{number}{text}")))
            grown = wal.stat().st_size
            reader.execute("COMMIT")
            reader.close()
            for _ in range(2):  # one checkpoint empties it, the next write begins it anew
                number += 1
                await store.respond(asked(0, number), completion("short"))
            return grown, wal.stat().st_size

    grown, after = run_real(main())
    assert grown > WAL_LIMIT_BYTES
    assert after <= WAL_LIMIT_BYTES


MOUNTS = """\
22 27 0:20 / /sys rw - sysfs sysfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
90 27 0:50 / /home/my\\040runs rw shared:9 - nfs4 filer:/runs rw,vers=4.2
91 27 0:51 / /mnt/over ro - ext4 /dev/vdb rw
92 91 0:52 / /mnt/over rw - fuse.sshfs host:/ rw
"""


@pytest.mark.fault("F-79")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/srv/run", "ext4"), ("/home/my runs/a/b", "nfs4"), ("/home/my", "ext4"), ("/mnt/over/run", "fuse.sshfs")],
)
def test_f79_the_kernel_names_the_file_system(folder: str, kind: str) -> None:
    """F-79: the deepest mount counts, and of two in one place the later; blanks in names are read."""
    assert kind_of(Path(folder), MOUNTS) == kind


@pytest.mark.fault("F-79")
def test_f79_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-79: its locks hold nobody off, and its WAL is no WAL; a local disk is fine."""
    check_local(tmp_path)
    monkeypatch.setattr("star_agents.storage.filesystem.kind_of", lambda *_: "nfs4")
    with pytest.raises(ConfigError, match=r"run.dir: .* network file system \(nfs4\)"):
        check_local(tmp_path)


@pytest.mark.fault("F-79")
def test_f79_sqlite_is_one_without_the_wal_reset_bug() -> None:
    """F-79: it corrupted databases up to 3.51.2."""
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)


async def unclean(path: Path) -> None:
    """A run whose last stop was none: everything is in the WAL, which a reader keeps there."""
    store = await RunStore.open(path, MANIFEST)
    for number in range(8):
        await store.assign(plan(number))
        await store.respond(asked(number, 1), completion(f"answer {number}"))
        await store.learn(update(number + 1, number))
    keeper = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    keeper.execute("SELECT count(*) FROM plan").fetchall()
    await store.close()
    keeper.close()


@pytest.mark.fault("F-77")
@pytest.mark.parametrize("table", ["plan", "log", "reply"])
def test_f77_a_start_after_a_crash_names_bad_rows(tmp_path: Path, table: str) -> None:
    """F-77: finished rows too, which nobody would have read before the export."""
    path = tmp_path / "run.db"
    run_real(unclean(path))
    examine(path)
    connection = apsw.Connection(str(path))
    connection.execute(f"UPDATE {table} SET crc32 = crc32 + 1 WHERE seed = 3")  # noqa: S608  # names above
    connection.close()
    examine(path)  # closed in good order: nobody looks
    (tmp_path / "run.db-wal").write_bytes(b"left by a crash")
    with pytest.raises(StoreError, match=r"seed 3.*restore a copy"):
        examine(path)


def bodies(path: Path) -> tuple[object, ...]:
    found = recover(path, capacity=99)
    weights = found.standing.weights
    return (
        sorted((row.graded for row in iter_rows(path)), key=repr),
        found.open_plans,
        sorted(found.replies.values(), key=repr),
        weights and (weights.p, weights.state),
    )


@pytest.mark.fault("F-77")
def test_f77_bits_that_flip_are_found_or_do_no_harm(tmp_path: Path) -> None:
    """F-77: two hundred times anywhere in the file: it is refused, or every text, score and weight is as it was.

    What stands beside a body in a column (a batch's number, an endpoint's name) has no checksum in SQLite, only in a
    shard.
    """
    path = tmp_path / "run.db"
    run_real(unclean(path))
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    sound, chance, found = path.read_bytes(), random.Random(5), 0
    expected = bodies(path)
    for _ in range(200):
        at = chance.randrange(len(sound))
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << chance.randrange(8)]) + sound[at + 1 :])
        (tmp_path / "run.db-wal").write_bytes(b"left by a crash")
        try:
            examine(path)
            recovered = bodies(path)
        except StoreError:
            found += 1
        else:
            assert recovered == expected
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"run.db{suffix}").unlink(missing_ok=True)
    assert found > 40


@pytest.mark.fault("F-83")
def test_f83_weights_of_another_moment_than_the_log_are_refused(tmp_path: Path) -> None:
    """F-83: the state tells which row it counts last."""
    path = tmp_path / "run.db"
    run_real(unclean(path))
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM policy WHERE version = (SELECT max(version) FROM policy)")
    connection.close()
    with pytest.raises(StoreError, match="the weights are not those of the log"):
        recover(path, capacity=9)
