"""The pass over a data set: order, bounds and failures, with real files and a scorer that waits to be told."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from star_agents.core.errors import ScorerError
from star_agents.core.ports import Scorer
from star_agents.core.records import Sample, Scores
from star_agents.service.scores.scoring_pass import ScoringPass
from star_agents.storage.row_blocks import RowBlocks
from star_agents.storage.score_journal import ScoreJournal, Standing
from star_agents.storage.score_rows import RowShape
from star_agents.storage.seeds import row_file
from tests.fakes.scoring import length_score
from tests.loops import run_real

IN_FLIGHT = 3
SHAPE = RowShape(has_large=True)


class Patient:
    """A scorer whose calls end when the test says so, in whatever order."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[Sequence[Sample], asyncio.Event]] = asyncio.Queue()
        self.open_calls = 0
        self.most_open = 0

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        told = asyncio.Event()
        self.open_calls += 1
        self.most_open = max(self.most_open, self.open_calls)
        self.calls.put_nowait((samples, told))
        await told.wait()
        self.open_calls -= 1
        return list(map(length_score, samples))


def make_pass(folder: Path, journal: ScoreJournal, scorer: Scorer, told: list[Standing]) -> ScoringPass:
    blocks = RowBlocks(row_file(str(folder / "data.jsonl")), size=2, start=journal.standing.rows)
    return ScoringPass(
        blocks=blocks, scorer=scorer, journal=journal, shape=SHAPE, in_flight=IN_FLIGHT, tell=told.append
    )


def write_data(folder: Path, num_rows: int) -> None:
    rows = [{"instruction": f"Say {number}.", "output": f"{number}"} for number in range(num_rows)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def opened(folder: Path) -> ScoreJournal:
    journal = ScoreJournal(folder / "out.part")
    if journal.header is None:
        journal.begin({})
    return journal


def numbers(journal: ScoreJournal) -> list[int]:
    return [json.loads(line)["number"] for block in journal.blocks() for line in block.lines.splitlines()]


def test_written_in_order_however_they_end(tmp_path: Path) -> None:
    """The last call of each round ends first; the output is in the order of the data, block after block."""
    write_data(tmp_path, 17)
    told: list[Standing] = []

    async def main(journal: ScoreJournal) -> None:
        scorer = Patient()

        async def end_backwards() -> None:
            while True:
                first = await scorer.calls.get()
                await asyncio.sleep(0.005)
                for _, call in [first, *(scorer.calls.get_nowait() for _ in range(scorer.calls.qsize()))][::-1]:
                    call.set()
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            ender = group.create_task(end_backwards())
            await make_pass(tmp_path, journal, scorer, told).run()
            ender.cancel()

    with closing(opened(tmp_path)) as journal:
        run_real(main(journal))
        assert numbers(journal) == list(range(17))
    assert [standing.rows for standing in told] == [*range(2, 17, 2), 17]


def test_no_more_in_flight_than_allowed(tmp_path: Path) -> None:
    """While the first call waits, reading stops; what is finished behind it counts as in flight until it is written."""
    write_data(tmp_path, 40)

    async def main(journal: ScoreJournal) -> None:
        scorer = Patient()
        async with asyncio.TaskGroup() as group:
            scoring = group.create_task(make_pass(tmp_path, journal, scorer, []).run())
            _, first = await scorer.calls.get()
            for _ in range(IN_FLIGHT - 1):
                _, call = await scorer.calls.get()
                call.set()
            await asyncio.sleep(0.05)
            assert scorer.calls.empty()
            assert journal.standing.rows == 0
            first.set()
            while not scoring.done():
                async with asyncio.timeout(5):
                    await asyncio.sleep(0.001)
                while not scorer.calls.empty():
                    scorer.calls.get_nowait()[1].set()
        assert scorer.most_open <= IN_FLIGHT

    with closing(opened(tmp_path)) as journal:
        run_real(main(journal))
        assert numbers(journal) == list(range(40))


def test_a_failure_keeps_what_came_before_it(tmp_path: Path) -> None:
    """Blocks before the failed one are durable if they were written by then; none behind it is."""
    write_data(tmp_path, 20)

    class Failing:
        async def score(self, samples: Sequence[Sample]) -> list[Scores]:
            if samples[0].instruction == "Say 8.":
                while journal.standing.rows < 8:  # noqa: ASYNC110  # a state of a file, which tells nobody
                    await asyncio.sleep(0.001)
                raise ScorerError("no worker can be kept alive")
            return list(map(length_score, samples))

    with closing(opened(tmp_path)) as journal:
        with pytest.raises(ExceptionGroup) as failure:
            run_real(make_pass(tmp_path, journal, Failing(), []).run())
        assert {type(error) for error in failure.value.exceptions} == {ScorerError}
        assert numbers(journal) == list(range(8))
