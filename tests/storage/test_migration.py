"""A run of an earlier schema is brought up to date: nothing is lost, nothing is made up, and a copy is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from star_agents.core.calls import Failure, Reply
from star_agents.core.errors import StoreError
from star_agents.core.records import Update
from star_agents.storage import migration
from star_agents.storage.codec import Packer, checksum, float_bytes
from star_agents.storage.commands import Order, Verb, read_commands
from star_agents.storage.dead_letters import failure_kinds
from star_agents.storage.migration import adopt, migrate
from star_agents.storage.recovery import Recovered, recover
from star_agents.storage.schema import APPLICATION_ID, COMMANDS, MOVED, SPENDING, TABLES
from star_agents.storage.spending import Account, Spend
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, graded, key, plan, update, weights
from tests.storage.old_runs import SCHEMAS, begin_schema, older, packed

pytestmark = pytest.mark.fault("F-82")

SCHEMA_1 = SCHEMAS / "1.sql"


def reply_row(number: int, slot: int, reply: Reply) -> tuple[object, ...]:
    """A row of the old table `reply`, as the old journal wrote it."""
    one = key(number, slot)
    told = (False, reply.endpoint, "", 0, 0) if isinstance(reply, Failure) else (True, reply.endpoint, "m", 7, 11)
    return one.seed, one.purpose.value, one.slot, one.ordinal, *told, *packed(reply)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run of schema 1 with two seeds, one of them finished; the other has an answer and a failure."""
    path = tmp_path / "run.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(SCHEMA_1.read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    connection.execute("INSERT INTO manifest VALUES (1, ?, ?)", packed(MANIFEST))
    for number in (0, 1):
        one = plan(number)
        body = Packer().plan(one)
        row = (number, one.weights_version, checksum(body, one.embedding), body, one.embedding)
        connection.execute("INSERT INTO plan VALUES (?, ?, ?, ?, ?)", row)
        for slot, reply in ((1, completion("answer")), (2, failure(2))):
            marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
            connection.execute(f"INSERT INTO reply VALUES ({marks})", reply_row(number, slot, reply))  # noqa: S608
    body = Packer().graded(graded(0))
    connection.execute(
        "INSERT INTO log (seed, batch, version, source, crc32, body) VALUES (0, 1, 1, 'candidate', ?, ?)",
        (checksum(body), body),
    )
    p = float_bytes(weights(1).p)
    connection.execute("INSERT INTO policy VALUES (1, 1, ?, ?)", (checksum(p), p))
    connection.close()
    return path


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A run of schema 2 that has learnt nothing but its weights."""
    path = tmp_path / "newer.db"
    connection = apsw.Connection(str(path))
    connection.execute(SCHEMA_1.with_name("2.sql").read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2")
    connection.execute("INSERT INTO manifest VALUES (1, ?, ?)", packed(MANIFEST))
    p = float_bytes(weights(5).p)
    connection.execute("INSERT INTO policy VALUES (5, 0, ?, ?)", (checksum(p), p))
    connection.close()
    return path


def test_weights_of_schema_2_are_gone_on_with(newer: Path, tmp_path: Path) -> None:
    """They have no state and know no change of the pool; the next version may, and the shape is that of a new one."""
    migrate(newer)
    assert found(newer).standing.weights == weights(5)
    assert found(newer).standing.epochs == ()

    async def go_on() -> None:
        async with await RunStore.open(newer, MANIFEST) as store:
            await store.learn(Update(replace(weights(6), state=(0.1, 1 / 3)), (), ()))

    run_real(go_on())
    assert found(newer).standing.weights == replace(weights(6), state=(0.1, 1 / 3))
    assert shape(newer) == fresh_shape(tmp_path)
    assert newer.with_name("newer.db.schema-2").exists()


def test_memories_of_schema_3_outlive_their_plans(tmp_path: Path) -> None:
    """They are as they were, the next has the next number, and the shape is that of a new database."""
    path = tmp_path / "third.db"
    begin_schema(3, path, num_plans=5)
    one = plan(4)
    connection = apsw.Connection(str(path))
    connection.execute(
        "INSERT INTO bank VALUES (7, 4, 'deepen', 'weak', 0.5, ?, ?)", (checksum(one.embedding), one.embedding)
    )
    connection.close()
    migrate(path)

    async def go_on() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            await store.learn(update(1, 4))

    run_real(go_on())
    connection = apsw.Connection(str(path))
    assert list(connection.execute("SELECT seq, seed FROM bank")) == [(7, 4), (8, 4)]
    connection.close()
    assert found(path).entries[0].embedding == one.embedding
    assert shape(path) == fresh_shape(tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_schema_becomes_the_newest(tmp_path: Path, version: int) -> None:
    """Tables, columns, indexes and triggers are those of a new database, and a run goes on in them, orders and all."""
    run_real(_begin(tmp_path / "newest.db"))
    older(tmp_path / "newest.db", path := tmp_path / "run.db", version)
    migrate(path)
    assert shape(path) == fresh_shape(tmp_path)

    async def go_on() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            assert (await store.note(Order(verb=Verb.PAUSE, actor="test"))).command.id == 1
            await store.learn(update(1, 0))

    run_real(go_on())
    assert found(path).standing.finished == 1
    assert [command.verb for command in read_commands(path)] == [Verb.PAUSE]


async def _begin(path: Path) -> None:
    async with await RunStore.open(path, MANIFEST) as store:
        await store.assign(plan(0))
        await store.respond(asked(0, 2), failure(2))


def fresh_shape(folder: Path) -> dict[str, object]:
    fresh = apsw.Connection(str(folder / "fresh.db"))
    fresh.execute(TABLES + SPENDING + MOVED + COMMANDS)
    fresh.close()
    return shape(folder / "fresh.db")


def shape(path: Path) -> dict[str, object]:
    """What there is of tables, indexes and triggers, and each table's columns in whatever order."""
    connection = apsw.Connection(str(path))
    names: list[tuple[Any, ...]] = connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'"
    ).fetchall()
    columns: dict[str, object] = {
        name: sorted(
            (column, kind, strict, place)
            for _, column, kind, strict, _, place in connection.execute(f"PRAGMA table_info({name})")
        )
        for kind, name in names
        if kind == "table"
    }
    connection.close()
    return {"names": sorted(names), **columns}


def found(path: Path) -> Recovered:
    return recover(path, capacity=9)


def test_an_old_run_is_gone_on_with(old: Path) -> None:
    """Plans, replies and results are as they were, old spending has no names, and new spending has."""
    migrate(old)

    async def go_on() -> None:
        async with await RunStore.open(old, MANIFEST) as store:
            await store.respond(asked(1, 0), completion("base"))

    run_real(go_on())
    after = found(old)
    assert after.open_plans == (plan(1),)
    assert after.replies == {key(1, 0): completion("base"), key(1, 1): completion("answer"), key(1, 2): failure(2)}
    assert (after.standing.finished, after.standing.next_seed) == (1, 2)
    assert after.standing.spend == {
        Account("gpt"): Spend(4, 2, 4, 14, 22),
        Account("gpt", "strong", "keep+strong", "respond"): Spend(1, 0, 1, 7, 11),
    }
    (kind,) = failure_kinds(old)
    assert (kind.endpoint, kind.reason, kind.calls) == ("gpt", "timeout", 2)


def test_a_migrated_database_is_shaped_like_a_new_one(old: Path, tmp_path: Path) -> None:
    """The same tables, columns, indexes and triggers."""
    migrate(old)
    assert shape(old) == fresh_shape(tmp_path)


def test_a_copy_of_the_old_database_is_kept(old: Path) -> None:
    """Whole, for its owner only, and with nothing left beside it."""
    migrate(old)
    copy = old.with_name("run.db.schema-1")
    assert copy.stat().st_mode & 0o777 == 0o600
    connection = apsw.Connection(str(copy))
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT count(*) FROM reply").get == 4
    connection.close()
    assert sorted(file.name for file in old.parent.iterdir()) == ["run.db", "run.db.schema-1"]


def test_an_up_to_date_database_is_left_alone(old: Path) -> None:
    """The second time nothing happens."""
    migrate(old)
    old.with_name("run.db.schema-1").unlink()
    migrate(old)
    assert not old.with_name("run.db.schema-1").exists()


def test_a_migration_that_fails_leaves_the_database_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the middle, the next start finds schema 1 and does it all again."""
    before = shape(old)
    monkeypatch.setattr(migration, "_CARRY", "INSERT INTO spend VALUES ('half a row')")
    with pytest.raises(StoreError):
        migrate(old)
    assert shape(old) == before
    monkeypatch.undo()
    migrate(old)
    assert found(old).standing.finished == 1


def test_a_damaged_failure_is_named(old: Path) -> None:
    """A row whose reason cannot be read stops the migration, and nothing has changed."""
    connection = apsw.Connection(str(old))
    connection.execute("UPDATE reply SET crc32 = crc32 + 1 WHERE ok = 0 AND seed = 1")
    connection.close()
    with pytest.raises(StoreError, match="failure of seed 1 is damaged"):
        migrate(old)
    assert "spend_1" not in str(shape(old))


def test_settings_told_in_more_keys_are_taken_over(old: Path) -> None:
    """After `adopt` the run goes on under the new fingerprint; when it was begun, and of what, stays."""
    migrate(old)
    now = replace(MANIFEST, config='{"more":{"keys":1}}', fingerprint="n" * 64, created="later")
    adopt(old, now)

    async def go_on() -> None:
        async with await RunStore.open(old, now):
            pass

    run_real(go_on())
    assert found(old).standing.manifest == replace(now, created=MANIFEST.created)
