"""A file of finished rows is gone or damaged: it is named with what was in it, and everything else goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import orjson
import pytest
from typer.testing import CliRunner

from star_agents.cli.main import app
from star_agents.core.errors import StoreError
from star_agents.storage import moving, shards
from star_agents.storage.dead_letters import failure_kinds, iter_dead_letters
from star_agents.storage.export import ExportOptions, export
from star_agents.storage.integrity import missing_files, shard_problems
from star_agents.storage.lost import Lost, LostFileError
from star_agents.storage.migration import migrate
from star_agents.storage.rebuild import rebuild
from star_agents.storage.recovery import recover
from star_agents.storage.rows import Order, iter_rows
from star_agents.storage.shards import folder_of
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan, update
from tests.storage.old_runs import older

pytestmark = pytest.mark.fault("F-77")

NUM_FINISHED, SHARD, HOT, NUM_SHARDS = 19, 5, 4, 3
CONFIG = orjson.dumps({"run": {"name": "tiny"}, "endpoints": {}}).decode()
CONTENTS = replace(MANIFEST, config=CONFIG)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "SHARD_ROWS", SHARD)
    monkeypatch.setattr(moving, "HOT_ROWS", HOT)


async def made(path: Path, *, num_moved: int = NUM_SHARDS) -> None:
    """Seeds that finish in order, each with a failed call; all that is due is in shards."""
    async with await RunStore.open(path, CONTENTS) as store:
        for number in range(NUM_FINISHED):
            await store.assign(plan(number))
            await store.respond(asked(number, 0), completion(f"base {number}"))
            await store.respond(asked(number, 1), completion(f"answer {number}"))
            await store.respond(asked(number, 2), failure(2))
        for version, number in enumerate(range(NUM_FINISHED), 1):
            await store.learn(update(version, number))
        for _ in range(num_moved):
            assert await store.move_finished(keep_entries=100)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    run_real(made(folder / "run.db"))
    return folder


def file_of(database: Path, shard: int, holds: str) -> Path:
    return sorted(folder_of(database).glob(f"{holds}-*"))[shard]


def gone(file: Path) -> None:
    file.unlink()


def damaged(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:99] + bytes([content[99] ^ 4]) + content[100:])


DAMAGES = pytest.mark.parametrize("damage", [gone, damaged])


def seeds(database: Path, *, order: Order = "seed", after: int = -1) -> tuple[list[int], list[Lost]]:
    lost: list[Lost] = []
    rows = iter_rows(database, order=order, after=after, on_lost=lost.append)
    return [row.graded.settled.plan.seed.number for row in rows], lost


@DAMAGES
@pytest.mark.parametrize("order", ["seed", "commit"])
@pytest.mark.parametrize("shard", range(NUM_SHARDS))
def test_the_other_rows_are_read(run: Path, damage: Callable[[Path], None], order: Order, shard: int) -> None:
    """First, middle or last: the rows of one file are told as lost, once, and no other row is missing."""
    database = run / "run.db"
    file = file_of(database, shard, "rows")
    damage(file)
    first = shard * SHARD
    found, lost = seeds(database, order=order)
    assert found == [number for number in range(NUM_FINISHED) if not first <= number < first + SHARD]
    assert [(one.file, one.holds, one.seq_lo, one.seq_hi, one.rows) for one in lost] == [
        (str(file), "rows", first + 1, first + SHARD, SHARD)
    ]
    with pytest.raises(LostFileError) as caught:
        list(iter_rows(database, order=order))
    assert caught.value.lost == lost[0]
    assert f"rows {first + 1} to {first + SHARD} (of seeds {first} to {first + SHARD - 1}), 5 in all" in str(
        caught.value
    )


@DAMAGES
def test_without_the_calls_a_row_is_whole_but_for_who_was_asked(run: Path, damage: Callable[[Path], None]) -> None:
    """Texts, scores and selections stand in the other file."""
    database = run / "run.db"
    before = list(iter_rows(database))
    damage(file_of(database, 1, "replies"))
    lost: list[Lost] = []
    after = list(iter_rows(database, on_lost=lost.append))
    assert [one.holds for one in lost] == ["replies"]
    assert [replace(row, calls=()) if SHARD < row.seq <= 2 * SHARD else row for row in before] == after


def test_failed_calls_are_counted_without(run: Path) -> None:
    """Those of the other files, and who asks is told of what is left out."""
    database = run / "run.db"
    gone(file_of(database, 0, "replies"))
    lost: list[Lost] = []
    (kind,) = failure_kinds(database, lost.append)
    assert kind.calls == len(list(iter_dead_letters(database, lost.append))) == NUM_FINISHED - SHARD
    assert len(set(lost)) == 1
    for reader in (failure_kinds, lambda path: list(iter_dead_letters(path))):
        with pytest.raises(LostFileError):
            reader(database)


def test_an_export_without_them_says_so(run: Path, tmp_path: Path) -> None:
    """Only where it is asked for; the card counts what is missing and names the rows."""
    database, out = run / "run.db", tmp_path / "out"
    gone(file_of(database, 1, "rows"))
    damaged(file_of(database, 2, "replies"))
    with pytest.raises(LostFileError):
        export(database, out, row_format="messages")
    assert not (out / "train.jsonl").exists()
    contents = export(database, out, row_format="messages", options=ExportOptions(allow_missing=True)).contents
    assert (contents.rows, contents.missing, len(contents.lost)) == (NUM_FINISHED - SHARD, SHARD, 2)
    card = (out / "README.md").read_text()
    assert "**Not complete:** 5 finished seeds are in no file here." in card
    assert "- rows 6 to 10 of the run: their file is lost, and they with it" in card
    assert "- rows 11 to 15 of the run: the file of their calls is lost" in card
    endpoints = [
        orjson.loads(line)["metadata"]["response_endpoint"] for line in (out / "train.jsonl").read_text().splitlines()
    ]
    assert endpoints == ["gpt"] * SHARD + [""] * SHARD + ["gpt"] * (NUM_FINISHED - 3 * SHARD)


def test_a_start_goes_on_without_them_if_it_is_told_to(run: Path) -> None:
    """Nothing that a start needs is in there: weights, counts, memory and spending are as they were."""
    database = run / "run.db"
    before = recover(database, capacity=9)
    gone(file_of(database, 0, "rows"))
    with pytest.raises(LostFileError, match=r"gone: rows 1 to 5 .*restore a copy of this file.*--allow-missing"):
        recover(database, capacity=9)
    after = recover(database, capacity=9, allow_missing=True)
    assert replace(after, lost=()) == before
    assert after.lost == missing_files(database)


def test_commands_name_what_is_lost(run: Path, tmp_path: Path) -> None:
    """`status`, `export`, `report` and `doctor`: file, rows, mend; none ends in a traceback."""

    def told(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit | StoreError), done.exception
        return done.exit_code, f"{done.output}{done.exception or ''}"

    file = file_of(run / "run.db", 0, "rows")
    gone(file)
    out = str(tmp_path / "data")
    for command in (("status",), ("export", "--out", out), ("export", "--out", out, "--allow-missing")):
        code, text = told(*command, str(run))
        assert f"{file}: " in text
        assert "rows 1 to 5 (of seeds 0 to 4), 5 in all, are lost with it" in text
        assert (code == 0) is (command != ("export", "--out", out))
    assert orjson.loads(told("status", "--json", str(run))[1])["lost"][0]["seq_hi"] == SHARD
    code, text = told("doctor", "--run", str(run))
    assert code == 74
    assert "5 in all, are lost with it" in text
    assert "-> restore a copy of this file (it never changes), or go on without: --allow-missing" in text
    assert told("report", "--out", f"{out}.html", str(run))[0] == 0
    assert "5 in all, are lost with it" in Path(f"{out}.html").read_text()
    assert "5 in all, are lost with it" in Path(f"{out}.md").read_text()


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """A run that was begun under schema 3, which kept every row; by now all that is due has moved."""
    run_real(made(tmp_path / "newest.db", num_moved=0))
    older(tmp_path / "newest.db", path := tmp_path / "run.db", 3)
    migrate(path)

    async def move() -> None:
        async with await RunStore.open(path, CONTENTS) as store:
            while await store.move_finished(keep_entries=100):
                pass

    run_real(move())
    return path


@pytest.mark.parametrize("holds", [["rows"], ["replies"], ["rows", "replies"]])
@pytest.mark.parametrize("is_other_library", [False, True], ids=["same bytes", "other bytes"])
def test_rows_come_back_from_what_a_migration_kept(
    migrated: Path, monkeypatch: pytest.MonkeyPatch, holds: list[str], *, is_other_library: bool
) -> None:
    """To the bit, whether the file comes out with the same bytes or, of another Parquet library, with others."""
    before = list(iter_rows(migrated))
    for each in holds:
        gone(file_of(migrated, 1, each))
    if is_other_library:
        monkeypatch.setattr(shards, "PARQUET", {**shards.PARQUET, "compression": "gzip"})
    rebuild(migrated)
    assert shard_problems(migrated) == (NUM_SHARDS, ())
    assert list(iter_rows(migrated)) == before


@pytest.mark.parametrize("dies_at", ["_list_again", "write"])
def test_a_crash_of_a_rebuild_leaves_a_gap_that_is_closed(
    migrated: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """Wherever it ends, with whatever bytes: the next start finds a file gone, never one that is not as listed."""
    before = list(iter_rows(migrated))
    gone(file_of(migrated, 1, "rows"))
    with monkeypatch.context() as patch:
        patch.setattr(shards, "PARQUET", {**shards.PARQUET, "compression": "gzip"})
        target = ("star_agents.storage.rebuild._list_again", "star_agents.storage.shards.Prepared.write")
        patch.setattr(target[dies_at == "write"], lambda *_: (_ for _ in ()).throw(OSError(5, "planted")))
        with pytest.raises(StoreError, match="planted"):
            rebuild(migrated)
    count, problems = shard_problems(migrated)
    assert (count, [one.why for one in problems]) == (NUM_SHARDS, ["gone"] * 2)
    rebuild(migrated)
    assert shard_problems(migrated) == (NUM_SHARDS, ())
    assert list(iter_rows(migrated)) == before


def test_what_no_copy_holds_stays_lost(migrated: Path) -> None:
    """A copy with a damaged row, or without some of the rows, is of no help, and nothing is made up."""
    copy = migrated.with_name("run.db.schema-3")
    connection = apsw.Connection(str(copy))
    connection.execute("UPDATE log SET crc32 = crc32 + 1 WHERE seq = 7")
    connection.close()
    gone(file_of(migrated, 1, "rows"))
    rebuild(migrated)
    assert len(missing_files(migrated)) == 1
    connection = apsw.Connection(str(copy))
    connection.execute("DELETE FROM log WHERE seq = 7")
    connection.close()
    rebuild(migrated)
    assert [one.seq_lo for one in missing_files(migrated)] == [SHARD + 1]
