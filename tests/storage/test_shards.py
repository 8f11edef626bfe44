"""Finished ranges move to files: nothing that reads a run can tell, but for how small the database stays."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from star_agents.core.errors import StoreError
from star_agents.core.records import RowSource
from star_agents.storage import moving
from star_agents.storage.dead_letters import failure_kinds, iter_dead_letters
from star_agents.storage.export import export
from star_agents.storage.recovery import recover
from star_agents.storage.rows import Order, iter_rows
from star_agents.storage.shards import REPLIES, ROWS, Shard, folder_of, listed
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan, update

NUM_FINISHED, OPEN, SHARD, HOT = 23, 2, 5, 4


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "SHARD_ROWS", SHARD)
    monkeypatch.setattr(moving, "HOT_ROWS", HOT)


def finish_order() -> list[int]:
    """Seeds finish nearly in order; one of the first is the last but a few."""
    numbers = [number ^ 1 for number in range(22)]
    numbers.remove(2)
    return [*numbers, 22, 2]


async def fill(store: RunStore) -> None:
    for number in range(NUM_FINISHED + OPEN):
        await store.assign(plan(number))
        await store.respond(asked(number, 0), completion(f"base {number}"))
        await store.respond(asked(number, 1), completion(f"answer {number}"))
        if number % 4 == 0:
            await store.respond(asked(number, 2), failure(2))
    for version, number in enumerate(finish_order(), 1):
        source = RowSource.DROPPED if number == 7 else RowSource.CANDIDATE
        await store.learn(update(version, number, source=source))


async def made(path: Path, *, num_moved: int) -> None:
    async with await RunStore.open(path, MANIFEST) as store:
        await fill(store)
        for _ in range(num_moved):
            assert await store.move_finished(keep_entries=100)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run of which nothing has moved."""
    run_real(made(tmp_path / "whole.db", num_moved=0))
    return tmp_path / "whole.db"


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """The same run with all that is due in shards."""
    run_real(made(tmp_path / "moved.db", num_moved=3))
    return tmp_path / "moved.db"


def shards_of(path: Path) -> list[Shard]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = listed(connection)
    connection.close()
    return found


def count(path: Path, table: str) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    number = int(connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608  # names below
    connection.close()
    return number


def test_what_is_finished_leaves_and_what_is_new_or_open_stays(moved: Path) -> None:
    """Of 23 finished seeds 15 are in three shards; plans, replies and results have left together."""
    assert [one.rows for one in shards_of(moved)] == [SHARD] * 3
    assert (count(moved, "log"), count(moved, "plan")) == (8, 8 + OPEN)
    stayed = [*finish_order()[15:], 23, 24]
    assert count(moved, "reply") == 2 * len(stayed) + sum(number % 4 == 0 for number in stayed)
    assert not run_real(again(moved))


async def again(path: Path) -> bool:
    async with await RunStore.open(path, MANIFEST) as store:
        return await store.move_finished(keep_entries=100)


@pytest.mark.parametrize("order", ["seed", "commit"])
@pytest.mark.parametrize("after", [-1, 0, 4, 11, 21, 22, 99])
def test_rows_are_read_in_either_order_wherever_they_lie(whole: Path, moved: Path, order: Order, after: int) -> None:
    """The same rows with the same calls, from anywhere on."""
    assert list(iter_rows(moved, order=order, after=after)) == list(iter_rows(whole, order=order, after=after))


def test_a_start_finds_the_same_standing(whole: Path, moved: Path) -> None:
    """Counts, weights, spending, open plans with their replies, and memory are as if nothing had moved."""
    assert recover(moved, capacity=100) == recover(whole, capacity=100)


def test_an_export_is_the_same_to_the_byte(whole: Path, moved: Path, tmp_path: Path) -> None:
    """Data, dropped seeds and losers."""
    for path in (whole, moved):
        export(path, tmp_path / path.stem, row_format="messages", candidates=True)
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "moved" / file.name).read_bytes() == file.read_bytes()


def test_dead_letters_are_the_same(whole: Path, moved: Path) -> None:
    """In another order, where seeds did not finish in theirs; kinds and counts too."""
    key = str
    assert sorted(iter_dead_letters(moved), key=key) == sorted(iter_dead_letters(whole), key=key)
    assert failure_kinds(moved) == failure_kinds(whole)


@pytest.mark.parametrize("order", ["seed", "commit"])
@pytest.mark.parametrize("moves_at", [1, 3, 9])
def test_rows_that_move_while_they_are_read_come_once(
    tmp_path: Path, order: Order, moves_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has begun sees the run as it was then, whatever leaves the tables behind it or before it."""
    monkeypatch.setattr("star_agents.storage.rows.PAGE_ROWS", 2)
    path = tmp_path / "run.db"

    async def main() -> list[int]:
        async with await RunStore.open(path, MANIFEST) as store:
            await fill(store)
            rows, seen = iter_rows(path, order=order), list[int]()
            while row := await asyncio.to_thread(next, rows, None):
                seen.append(row.graded.settled.plan.seed.number)
                if len(seen) % moves_at == 0:
                    await store.move_finished(keep_entries=100)
            return seen

    expected = sorted(finish_order()) if order == "seed" else finish_order()
    assert run_real(main()) == expected
    assert len(shards_of(path)) == 3 if moves_at < 9 else shards_of(path)


@pytest.mark.fault("F-64")
def test_f64_a_seed_that_has_left_is_never_planned_again(moved: Path) -> None:
    """F-64: the tables refuse it, as they refuse one that is still there."""

    async def main() -> None:
        async with await RunStore.open(moved, MANIFEST) as store:
            with pytest.raises(StoreError, match="planned before"):
                await store.assign(plan(1))

    run_real(main())


def test_the_bank_keeps_what_a_start_would_load(tmp_path: Path) -> None:
    """And lets the rest go when a range moves."""
    path = tmp_path / "run.db"

    async def main() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            await fill(store)
            await store.move_finished(keep_entries=6)

    run_real(main())
    assert [entry.seed for entry in recover(path, capacity=100).entries] == finish_order()[-6:]


def test_files_that_no_table_lists_are_swept(moved: Path) -> None:
    """What a crash left before its commit goes with the next start; what is listed stays."""
    folder = folder_of(moved)
    before = set(folder.iterdir())
    (folder / "rows-000000000016-000000000020.parquet").write_bytes(b"half")
    (folder / ".tmp-999999999-rows.parquet").write_bytes(b"half")
    run_real(again(moved))
    assert set(folder.iterdir()) == before


Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "gone": Path.unlink,
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "empty": lambda file: file.write_bytes(b""),
}


@pytest.mark.fault("F-77")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [0, 1])
def test_f77_a_damaged_shard_is_named(moved: Path, damage: str, which: int) -> None:
    """F-77: no row is left out in silence: the export is refused with the file's name and the mend."""
    file = shards_of(moved)[1].files(folder_of(moved))[which]
    DAMAGES[damage](file)
    with pytest.raises(
        StoreError, match=rf"{file.name}.*rows 6 to 10 .*5 in all, are lost.*restore a copy of this file"
    ):
        list(iter_rows(moved))
    if damage == "gone":
        with pytest.raises(StoreError, match=file.name):
            recover(moved, capacity=9)


@pytest.mark.fault("F-77")
@pytest.mark.parametrize("which", [0, 1])
def test_f77_any_flipped_bit_of_a_shard_is_found(moved: Path, which: int) -> None:
    """F-77: five hundred times the file is refused."""
    shard, folder = shards_of(moved)[0], folder_of(moved)
    file = shard.files(folder)[which]
    sound, chance = file.read_bytes(), random.Random(which)

    def everything() -> list[object]:
        return list(shard.read_replies(folder, list(REPLIES)) if which else shard.read_rows(folder, list(ROWS)))

    expected = everything()
    for _ in range(250):
        at = chance.randrange(len(sound))
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << chance.randrange(8)]) + sound[at + 1 :])
        with pytest.raises(StoreError, match="damaged"):
            everything()
    file.write_bytes(sound)
    assert everything() == expected


@pytest.mark.fault("F-77")
def test_f77_a_damaged_row_is_never_moved(whole: Path) -> None:
    """F-77: the last copy of it stays where it is, and the run stops."""
    connection = apsw.Connection(str(whole))
    connection.execute("UPDATE log SET crc32 = crc32 + 1 WHERE seq = 3")
    connection.close()
    with pytest.raises(StoreError, match=r"result of seed .* is damaged"):
        run_real(again(whole))
    assert not shards_of(whole)
