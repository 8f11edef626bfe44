"""Seeds that are fed while a run goes on come after those of its file, each once, under a number that stays."""

import asyncio
import json
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError, NotNowError
from star_agents.core.records import Seed
from star_agents.service.run.feed import FedSeeds, missing, read_rows
from star_agents.service.run.follow import Follower
from star_agents.service.run.inbox import Fed, Inbox
from tests.fakes.store import ListSeeds
from tests.loops import run_real


class File(ListSeeds):
    """The run's file."""

    bad = 0


def row(name: str) -> dict[str, str]:
    return {"instruction": name, "input": "", "output": ""}


async def source(folder: Path, *, next_seed: int = 0, keep_alive: bool = True, num_rows: int = 2) -> FedSeeds:
    """A run of a file with `num_rows` rows, of which a start left off at `next_seed`."""
    inbox = Inbox(folder / "inbox")
    await asyncio.to_thread(inbox.open)
    left = [Seed(number, f"file {number}") for number in range(next_seed, num_rows)]
    return FedSeeds(File(left), inbox, num_rows=num_rows, next_seed=next_seed, keep_alive=keep_alive)


async def taken(seeds: FedSeeds, count: int) -> list[tuple[int, str]]:
    found: list[Seed] = []
    while len(found) < count:
        found += await seeds.read(count - len(found))
    return [(seed.number, seed.instruction) for seed in found]


def test_fed_rows_follow_the_file(tmp_path: Path) -> None:
    """They are waited for, and the next start finds them under the same numbers."""

    async def main() -> None:
        seeds = await source(tmp_path)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(taken(seeds, 4))
            await asyncio.sleep(0.05)
            assert not reading.done()
            assert await seeds.feed(Fed([row("a")])) == 1
            assert await seeds.feed(Fed([row("b"), row("c")])) == 3
        assert reading.result() == [(0, "file 0"), (1, "file 1"), (2, "a"), (3, "b")]
        assert await taken(await source(tmp_path, next_seed=3), 2) == [(3, "b"), (4, "c")]

    run_real(main())


def test_without_keep_alive_the_end_is_the_end(tmp_path: Path) -> None:
    """What came before it is planned; later rows are refused with the mend, not swallowed."""

    async def main() -> None:
        seeds = await source(tmp_path, keep_alive=False)
        await seeds.feed(Fed([row("a")]))
        assert await taken(seeds, 3) == [(0, "file 0"), (1, "file 1"), (2, "a")]
        assert await seeds.read(8) == []
        with pytest.raises(NotNowError, match=r"set service\.keep_alive"):
            await seeds.feed(Fed([row("late")]))

    run_real(main())


def test_a_feeder_that_was_not_told_may_send_again(tmp_path: Path) -> None:
    """`at` says where its rows belong: those that are there already are not taken twice, a gap is refused."""

    async def main() -> None:
        seeds = await source(tmp_path)
        rows = [row("a"), row("b"), row("c")]
        assert await seeds.feed(Fed(rows[:2]), at=0) == 2
        assert await seeds.feed(Fed(rows), at=0) == 3
        assert await seeds.feed(Fed(rows), at=0) == 3
        with pytest.raises(NotNowError, match="3 rows have been fed"):
            await seeds.feed(Fed(rows), at=4)
        assert [name for _, name in await taken(seeds, 5)][2:] == ["a", "b", "c"]

    run_real(main())
    assert list(missing([1, 2, 3], at=5, count=6)) == [2, 3]


def test_a_cancelled_feeding_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whoever goes away in the middle of it leaves no thread behind that writes beside the next."""

    async def main() -> None:
        seeds = await source(tmp_path)
        async with asyncio.TaskGroup() as group:
            feedings = [group.create_task(seeds.feed(Fed([row(str(number))]))) for number in range(20)]
            await asyncio.sleep(0)
            for feeding in feedings[::2]:
                feeding.cancel()
        count = seeds.num_fed
        assert count >= 10
        assert len(await taken(await source(tmp_path, next_seed=2), count)) == count

    run_real(main())


def test_all_lines_or_none() -> None:
    """Rows of any known shape; the lines that hold no seed are told, and then nothing is taken in."""
    lines = [{"instruction": "a", "id": 7}, {"messages": [{"role": "user", "content": "b"}]}]
    rows = read_rows("\n".join(map(json.dumps, lines)).encode() + b"\n\n")
    assert rows == [{**row("a"), "id": "7"}, row("b")]
    with pytest.raises(ConfigError) as caught:
        read_rows(b'{"instruction": "a"}\n{"text": "b"}\nnot json\n')
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 2", "line 3"]


def test_a_growing_folder_is_followed(tmp_path: Path) -> None:
    """Whole lines only, each once over restarts, files in the order of their names; bad rows are left out."""
    folder = tmp_path / "incoming"
    folder.mkdir()

    async def main() -> None:
        seeds = await source(tmp_path, num_rows=0)
        follower = Follower(path=folder, source=seeds)
        (folder / "1.jsonl").write_text('{"instruction": "a"}\n{"instruction": ')
        (folder / ".hidden.jsonl").write_text('{"instruction": "x"}\n')
        await follower.catch_up()
        assert seeds.num_fed == 1
        (folder / "0.jsonl").write_text('{"instruction": "c"}\n[]\n')
        with (folder / "1.jsonl").open("a") as stream:
            stream.write('"b"}\n')
        await follower.catch_up()
        await follower.catch_up()
        assert follower.left_out == 1
        again = await source(tmp_path, num_rows=0)
        await Follower(path=folder, source=again).catch_up()
        assert await taken(again, 3) == [(0, "a"), (1, "c"), (2, "b")]
        assert again.num_fed == 3

    run_real(main())


def test_a_file_that_was_replaced_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is shorter than what was read of it: another file under the same name; that is told once."""
    file = tmp_path / "seeds.jsonl"

    async def main() -> None:
        seeds = await source(tmp_path, num_rows=0)
        follower = Follower(path=file, source=seeds)
        await follower.catch_up()
        file.write_text('{"instruction": "a long one"}\n')
        await follower.catch_up()
        file.write_text('{"instruction": "b"}\n')
        await follower.catch_up()
        await follower.catch_up()
        assert seeds.num_fed == 1

    run_real(main())
    assert len([record for record in caplog.records if "shorter than it was" in record.message]) == 1
