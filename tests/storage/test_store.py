"""The store on SQLite: durability, group commit, refusal after a failure, and what opening refuses."""

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError, StoreError
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import Recovered, read_standing, recover
from star_agents.storage.rows import iter_rows
from star_agents.storage.store import RunStore
from star_agents.storage.writer import WriterStatistics
from tests.loops import run_real
from tests.storage.crash_child import START, fold
from tests.storage.crash_child import main as small_run
from tests.storage.examples import MANIFEST, POOL, asked, completion, plan, update, weights


def database(folder: Path) -> Path:
    return folder / "run.db"


async def write(path: Path, num_seeds: int) -> None:
    """A run with every seed learnt but the last."""
    async with await RunStore.open(path, MANIFEST) as store:
        for number in range(num_seeds):
            await store.assign(plan(number))
            await store.respond(asked(number, 1), completion(f"answer {number}"))
            if number < num_seeds - 1:
                await store.learn(update(number + 1, number))


def held(writer_is_held: threading.Event, release: threading.Event) -> Callable[[], None]:
    """An operation that stops the writer's thread until it is let go."""

    def operation() -> None:
        writer_is_held.set()
        release.wait()

    return operation


def test_a_reopened_store_holds_what_was_written(tmp_path: Path) -> None:
    """Closing and opening changes nothing; the state is the last batch's, bit for bit."""
    run_real(write(database(tmp_path), 3))

    async def main() -> Recovered:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            return await store.load(capacity=9)

    found = run_real(main())
    assert found.open_plans == (plan(2),)
    assert found.standing.weights == weights(2)


@pytest.mark.fault("F-81", "F-84")
def test_a_run_is_gone_on_with_only_as_it_was_begun(tmp_path: Path) -> None:
    """Other pairs, other seeds or other settings are refused together, each with its mend."""
    run_real(write(database(tmp_path), 1))
    other = replace(MANIFEST, pairs=POOL[:1], input_sha256="1" * 64, fingerprint="e" * 64)
    with pytest.raises(ConfigError) as caught:
        run_real(RunStore.open(database(tmp_path), other))
    assert [problem.split(":")[0] for problem in caught.value.problems[:2]] == ["pairs", "seeds.path"]
    assert all("new run" in problem for problem in caught.value.problems)


def test_a_later_start_records_its_settings(tmp_path: Path) -> None:
    """What may change between starts (prices, limits) is told as of the last; when it was begun stays."""
    run_real(write(database(tmp_path), 1))
    later = replace(MANIFEST, config='{"budget":{"usd":2}}', created="2027-01-01T00:00:00.000+00:00")

    async def main() -> None:
        async with await RunStore.open(database(tmp_path), later):
            pass

    run_real(main())
    assert read_standing(database(tmp_path)).manifest == replace(MANIFEST, config=later.config)


def test_writes_asked_for_during_a_commit_share_the_next(tmp_path: Path) -> None:
    """Ten writes behind a held one make two commits in all, in the order asked for."""

    async def main() -> WriterStatistics:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            is_held, release = threading.Event(), threading.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(store._writer.write(held(is_held, release)))
                await asyncio.to_thread(is_held.wait)
                for number in range(10):
                    group.create_task(store.assign(plan(number)))
                await asyncio.sleep(0)
                release.set()
            return store.statistics()

    assert run_real(main()) == WriterStatistics(commits=2, writes=11)


def test_a_cancelled_wait_does_not_undo_the_write(tmp_path: Path) -> None:
    """The write happens, nobody is told, and the store goes on."""

    async def main() -> None:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            is_held, release = threading.Event(), threading.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(store._writer.write(held(is_held, release)))
                await asyncio.to_thread(is_held.wait)
                waiter = group.create_task(store.assign(plan(0)))
                await asyncio.sleep(0)
                waiter.cancel()
                release.set()
            await store.assign(plan(1))

    run_real(main())
    assert read_standing(database(tmp_path)).next_seed == 2


def test_closing_commits_what_was_asked_for_and_refuses_the_rest(tmp_path: Path) -> None:
    """No write is left hanging, before or after."""

    async def main() -> None:
        store = await RunStore.open(database(tmp_path), MANIFEST)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(store.assign(plan(number)))
            await asyncio.sleep(0)
            await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.assign(plan(100))

    run_real(main())
    assert read_standing(database(tmp_path)).in_flight == 100


@pytest.mark.fault("F-76")
def test_a_full_disk_ends_every_write_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """Everyone in the failing commit is told, later writes are refused, and the acknowledged rows are there."""

    async def main() -> int:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            store._writer._connection.execute("PRAGMA max_page_count = 200")
            acknowledged = 0
            with pytest.raises(StoreError, match="disk is full: make room and resume"):  # noqa: PT012  # until it fails
                for number in count():
                    await store.assign(plan(number))
                    acknowledged += 1
            with pytest.raises(StoreError, match="disk is full"):
                await store.respond(asked(0, 0), completion("answer"))
            return acknowledged

    acknowledged = run_real(main())
    assert acknowledged > 10
    assert read_standing(database(tmp_path)).next_seed == acknowledged


def test_a_bug_in_a_write_answers_every_waiter(tmp_path: Path) -> None:
    """An exception that nobody foresaw becomes a StoreError too; no task waits for ever."""

    def broken() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            with pytest.raises(StoreError, match="ZeroDivisionError"):
                await store._writer.write(broken)
            with pytest.raises(StoreError, match="ZeroDivisionError"):
                await store.assign(plan(0))

    run_real(main())


def test_another_programs_lock_is_waited_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """BUSY is no failure: nothing has been written yet, and the write goes through when the lock is free."""
    warned = threading.Event()

    class Told(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            warned.set()
            return True

    async def main() -> None:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            store._writer._connection.set_busy_timeout(1)
            other = apsw.Connection(str(database(tmp_path)))
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.TaskGroup() as group:
                group.create_task(store.assign(plan(0)))
                await asyncio.to_thread(warned.wait)
                other.execute("ROLLBACK")
            other.close()

    with caplog.filtering(Told()):
        run_real(main())
    assert read_standing(database(tmp_path)).next_seed == 1
    assert "waiting for another program" in caplog.text


def test_a_write_under_a_lock_that_stays_is_refused_at_closing(tmp_path: Path) -> None:
    """A locked database does not keep the process from ending."""

    async def main() -> None:
        store = await RunStore.open(database(tmp_path), MANIFEST)
        store._writer._connection.set_busy_timeout(1)
        other = apsw.Connection(str(database(tmp_path)))
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as group:
            write = group.create_task(_refused(store))
            await asyncio.sleep(0)
            await store.close()
        assert "another program" in write.result()
        other.close()

    run_real(main())


async def _refused(store: RunStore) -> str:
    with pytest.raises(StoreError) as caught:
        await store.assign(plan(0))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"not a database at all " * 100, "not a run database"),
        (b"", ""),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """A foreign file is never written to; an empty one (a crash before the first commit) is begun."""
    database(tmp_path).write_bytes(content)
    if not told:
        run_real(write(database(tmp_path), 1))
        return
    with pytest.raises(StoreError, match=told):
        run_real(RunStore.open(database(tmp_path), MANIFEST))
    assert database(tmp_path).read_bytes() == content


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """Another program's SQLite file is named and left alone."""
    other = apsw.Connection(str(database(tmp_path)))
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(StoreError, match="not a star-agents run database"):
        run_real(RunStore.open(database(tmp_path), MANIFEST))


@pytest.mark.fault("F-82")
def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database that a later version wrote is not guessed at, by writers and readers alike."""
    run_real(write(database(tmp_path), 1))
    connection = apsw.Connection(str(database(tmp_path)))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        run_real(RunStore.open(database(tmp_path), MANIFEST))
    with pytest.raises(StoreError, match="schema 99"):
        read_standing(database(tmp_path))


def test_a_reader_of_nothing_is_told_so(tmp_path: Path) -> None:
    """No database is made by looking for one."""
    with pytest.raises(StoreError, match="cannot be opened"):
        read_standing(database(tmp_path))
    assert not database(tmp_path).exists()


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """Texts of a run may be private: 0600, journal files too."""

    def rights() -> set[int]:
        return {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    async def main() -> set[int]:
        async with await RunStore.open(database(tmp_path), MANIFEST) as store:
            await store.assign(plan(0))
            return await asyncio.to_thread(rights)

    assert run_real(main()) == {0o600}


@pytest.mark.fault("F-77")
@pytest.mark.parametrize("table", ["plan", "reply", "policy", "tally", "bank", "manifest"])
def test_a_damaged_row_is_named(tmp_path: Path, table: str) -> None:
    """One flipped byte in any blob that a start needs is found by its checksum."""
    run_real(write(database(tmp_path), 2))
    column = {"plan": "embedding", "policy": "p", "bank": "embedding"}.get(table, "body")
    connection = apsw.Connection(str(database(tmp_path)))
    for rowid, blob in list(connection.execute(f"SELECT rowid, {column} FROM {table}")):  # noqa: S608  # names above
        damaged = bytes([blob[0] ^ 1]) + blob[1:]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (damaged, rowid))  # noqa: S608
    connection.close()
    with pytest.raises(StoreError, match="is damaged: its checksum does not match"):
        recover(database(tmp_path), capacity=9)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run as a crash leaves them: everything in the WAL."""
    folder = tmp_path_factory.mktemp("killed")
    live = RunFolder(folder / "live")
    live.path.mkdir()

    async def main() -> None:
        async with await RunStore.open(live.database, MANIFEST) as store:
            del store
            await small_run(live, 12)
            await asyncio.to_thread(shutil.copytree, live.path, folder / "dead")

    run_real(main())
    return folder / "dead"


@pytest.mark.fault("F-77")
@given(cut=st.floats(0, 1), tail=st.binary(max_size=64))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_wal_leaves_a_prefix_of_the_run(killed: Path, tmp_path: Path, cut: float, tail: bytes) -> None:
    """Cut the WAL anywhere and put garbage behind: what is left is a whole earlier moment of the run."""
    shutil.copytree(killed, folder := tmp_path / "torn", dirs_exist_ok=True)
    wal = folder / "run.db-wal"
    content = wal.read_bytes()
    wal.write_bytes(content[: round(len(content) * cut)] + tail)
    (folder / "run.db-shm").unlink(missing_ok=True)
    found = recover(database(folder), capacity=9)
    rows = list(iter_rows(database(folder), order="commit"))
    finished = {row.graded.settled.plan.seed.number for row in rows}
    assert {one.seed.number for one in found.open_plans} | finished == set(range(found.standing.next_seed))
    state = START
    for _, batch in groupby(rows, key=lambda row: row.batch):
        state = fold(state, [row.graded for row in batch])
    assert (found.standing.weights or START) == state
