"""Finished rows as they are streamed out of a run."""

from itertools import islice, pairwise
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.core.calls import Purpose
from star_agents.core.errors import StoreError
from star_agents.storage import rows
from star_agents.storage.rows import Call, iter_rows
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, graded, plan, update


async def write(path: Path, batches: list[list[int]]) -> None:
    """Batches of seed numbers, committed in this order; every seed was planned in its own."""
    async with await RunStore.open(path, MANIFEST) as store:
        for number in sorted(number for batch in batches for number in batch):
            await store.assign(plan(number))
            await store.respond(asked(number, 1, Purpose.REWRITE), completion("rewrite", model="smollm"))
            await store.respond(asked(number, 0), completion("base"))
            await store.respond(asked(number, 1), completion("deep", endpoint="local", model="smollm"))
            await store.respond(asked(number, 2), failure(2))
        for version, batch in enumerate(batches, start=1):
            await store.learn(update(version, *batch))


@given(numbers=st.permutations(range(12)), cuts=st.sets(st.integers(1, 11)), page=st.integers(1, 13))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_whole_in_either_order(tmp_path: Path, numbers: list[int], cuts: set[int], page: int) -> None:
    """By seed or by commit, for any page size, each finished row comes once and equals what was learnt."""
    path = tmp_path / "run.db"
    for old in tmp_path.iterdir():
        old.unlink()
    edges = [0, *sorted(cuts), len(numbers)]
    run_real(write(path, [list(numbers[start:end]) for start, end in pairwise(edges)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "PAGE_ROWS", page)
        by_seed = list(iter_rows(path))
        by_commit = list(iter_rows(path, order="commit"))
        tail = list(iter_rows(path, order="commit", after=5))
    assert [row.graded for row in by_seed] == [graded(number) for number in range(12)]
    assert [row.graded.settled.plan.seed.number for row in by_commit] == numbers
    assert [row.seq for row in by_commit] == list(range(1, 13))
    assert [row.batch for row in by_commit] == sorted(row.version for row in by_commit)
    assert tail == by_commit[5:]


def test_a_row_tells_who_wrote_its_texts(tmp_path: Path) -> None:
    """Rewrites and answers with model and endpoint; failed calls and judges are not among them."""
    run_real(write(tmp_path / "run.db", [[0]]))
    (row,) = iter_rows(tmp_path / "run.db")
    assert row.calls == (
        Call(Purpose.RESPOND, 0, "gpt", "gpt-4o-mini"),
        Call(Purpose.RESPOND, 1, "local", "smollm"),
        Call(Purpose.REWRITE, 1, "gpt", "smollm"),
    )


def test_a_stream_is_the_run_as_it_stood_and_pins_nothing(tmp_path: Path) -> None:
    """Rows that are committed meanwhile are not in it, and the WAL can be checkpointed meanwhile."""
    path = tmp_path / "run.db"
    run_real(write(path, [[1], [3]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "PAGE_ROWS", 1)
        stream = iter_rows(path)
        first = list(islice(stream, 1))
        run_real(write(path, [[0], [2]]))
        connection = apsw.Connection(str(path))
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
        connection.close()
        assert [row.graded.settled.plan.seed.number for row in [*first, *stream]] == [1, 3]
    assert busy == 0


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    """The stream ends with the name of the row, not with a wrong row."""
    path = tmp_path / "run.db"
    run_real(write(path, [[0], [1]]))
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE log SET body = x'7b7d' WHERE seed = 1")
    connection.close()
    with pytest.raises(StoreError, match="result of seed 1 is damaged"):
        list(iter_rows(path))
