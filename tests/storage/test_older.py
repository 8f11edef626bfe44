"""A run of an earlier version can be looked at as it is: the same is seen as after a migration, and no byte changes."""

from dataclasses import replace
from pathlib import Path

import apsw
import orjson
import pytest
from typer.testing import CliRunner

from star_agents.cli.main import app
from star_agents.core.errors import StoreError
from star_agents.core.records import Epoch, Update
from star_agents.storage.commands import read_commands
from star_agents.storage.dead_letters import failure_kinds, iter_dead_letters
from star_agents.storage.integrity import problems, shard_problems
from star_agents.storage.migration import migrate
from star_agents.storage.recovery import recover
from star_agents.storage.rows import iter_rows
from star_agents.storage.schema import SCHEMA_VERSION
from star_agents.storage.store import RunStore
from star_agents.storage.weight_history import read_history
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan, update, weights
from tests.storage.old_runs import older

pytestmark = pytest.mark.fault("F-82")

OLDER = range(1, SCHEMA_VERSION)
NUM_FINISHED = 7
CONFIG = orjson.dumps({"run": {"name": "old"}, "endpoints": {"gpt": {"price": {"input": 1.0, "output": 1.0}}}}).decode()


@pytest.fixture(params=OLDER)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a run with finished seeds, failures, an open seed, and since schema 3 a change of the pool."""
    newest, folder = tmp_path / "newest.db", tmp_path / "run"
    folder.mkdir()
    run_real(fill(newest, with_epoch=request.param > 2))
    older(newest, folder / "run.db", request.param)
    newest.unlink()
    return folder


async def fill(path: Path, *, with_epoch: bool) -> None:
    async with await RunStore.open(path, replace(MANIFEST, config=CONFIG)) as store:
        for number in range(NUM_FINISHED + 1):
            await store.assign(plan(number))
            await store.respond(asked(number, 0), completion(f"base {number}"))
            await store.respond(asked(number, 1), completion(f"answer {number}"))
            await store.respond(asked(number, 2), failure(2))
        for version, number in enumerate(reversed(range(NUM_FINISHED)), 1):
            await store.learn(update(version, number))
        if with_epoch:
            change = Epoch(NUM_FINISHED + 1, reason="nothing but a reason")
            await store.learn(Update(weights(NUM_FINISHED + 1), (), (), epoch=change))


def seen(path: Path) -> dict[str, object]:
    """Everything that readers read."""
    return {
        "recovered": recover(path, capacity=9),
        "rows": list(iter_rows(path)),
        "commits": list(iter_rows(path, order="commit", after=2)),
        "letters": list(iter_dead_letters(path)),
        "kinds": failure_kinds(path),
        "history": read_history(path),
        "commands": read_commands(path),
        "problems": list(problems(path)),
        "shards": shard_problems(path),
    }


def test_the_same_is_seen_as_after_a_migration(run: Path) -> None:
    """Rows, weights, spending, failures, memory, checks: view for view what the migrated tables hold."""
    before = seen(run / "run.db")
    assert len(list(iter_rows(run / "run.db"))) == NUM_FINISHED
    assert len(failure_kinds(run / "run.db")) == 1
    migrate(run / "run.db")
    assert seen(run / "run.db") == before


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--failures"],
        ["export", "--out", "OUT"],
        ["report", "--out", "OUT.html"],
        ["doctor", "--run"],
    ],
)
def test_commands_read_it_and_leave_it_as_it_is(run: Path, tmp_path: Path, command: list[str]) -> None:
    """No migration, no byte, no new file but what was asked for; and the word `schema` is nobody's concern."""
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    arguments = [each.replace("OUT", str(tmp_path / "data")) for each in command]
    done = CliRunner().invoke(app, [*arguments, str(run)])
    assert done.exit_code == 0, done.output
    assert "schema" not in done.output
    after = {file.name: file.read_bytes() for file in run.iterdir() if file.name not in {"out", "run.db-shm"}}
    after.pop("run.db-wal", None)  # empty: SQLite makes it beside a database in WAL mode, and lets it lie
    assert after == before
    if command[0] == "export":
        assert len((tmp_path / "data" / "train.jsonl").read_text().splitlines()) == NUM_FINISHED


def test_a_writer_still_asks_for_the_migration(run: Path) -> None:
    """Only `--resume` changes a run, and it keeps a copy."""
    with pytest.raises(StoreError, match=r"an earlier version .*--resume brings it up to date, and keeps a copy"):
        run_real(RunStore.open(run / "run.db", MANIFEST))


def test_a_damaged_failure_of_schema_1_is_named(tmp_path: Path) -> None:
    """Its reason stands in its body, which is looked into when it is asked for."""
    run_real(fill(tmp_path / "newest.db", with_epoch=False))
    older(tmp_path / "newest.db", path := tmp_path / "run.db", 1)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE reply SET crc32 = crc32 + 1 WHERE ok = 0 AND seed = 3")
    connection.close()
    with pytest.raises(StoreError, match="failure of seed 3 is damaged"):
        failure_kinds(path)


def test_a_later_version_is_named_with_the_mend(tmp_path: Path) -> None:
    """Nobody guesses what it may hold."""
    run_real(fill(tmp_path / "run.db", with_epoch=False))
    connection = apsw.Connection(str(tmp_path / "run.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        StoreError, match=rf"a later version .*schema 99; this one knows up to {SCHEMA_VERSION}.*upgrade"
    ):
        list(iter_rows(tmp_path / "run.db"))
