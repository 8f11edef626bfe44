"""Rows by number, whole, and by seed, wherever they lie; and what the service says of them."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from star_agents.core.calls import Completion
from star_agents.storage import moving
from star_agents.storage.browse import last_row, number_of_seed, read_page, read_points, read_row
from star_agents.storage.rows import iter_rows
from star_agents.storage.weight_history import read_history
from tests.loops import run_real
from tests.web.many_rows import many_rows
from tests.web.theatre import Theatre

NUM_ROWS, SHARD, HOT = 47, 10, 15


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of which the first 30 are in three shards; seed n led to row n + 1."""
    monkeypatch.setattr(moving, "SHARD_ROWS", SHARD)
    monkeypatch.setattr(moving, "HOT_ROWS", HOT)
    many_rows(tmp_path / "run.db", NUM_ROWS)
    return tmp_path / "run.db"


@pytest.mark.parametrize("first", [1, 8, 25, 31, 40, 47, 48, 999])
@pytest.mark.parametrize("limit", [1, 12, 50])
def test_a_page_is_the_rows_from_a_number_on(database: Path, first: int, limit: int) -> None:
    """In shards, in tables, and over the border between them, as the stream of all rows has them."""
    everything = list(iter_rows(database, order="commit"))
    assert len(everything) == NUM_ROWS == last_row(database)
    assert list(read_page(database, first=first, limit=limit)) == everything[first - 1 : first - 1 + limit]


@pytest.mark.parametrize("number", [1, 10, 11, 30, 31, 47])
def test_a_row_is_whole_with_its_calls(database: Path, number: int) -> None:
    """The row and the reply that was recorded for it; its seed leads to its number."""
    found = read_row(database, number)
    assert found is not None
    row, (called,) = found
    assert row.seq == number
    assert isinstance(called.reply, Completion)
    assert called.text == f"Deep answer {number - 1}"
    assert number_of_seed(database, number - 1) == number


def test_what_is_not_there_is_none(database: Path) -> None:
    """Numbers before the first and behind the last, and seeds that are not finished."""
    assert [read_row(database, number) for number in (0, NUM_ROWS + 1)] == [None, None]
    assert number_of_seed(database, NUM_ROWS) is None


def test_points_are_of_the_newest_rows_that_both_models_scored(database: Path) -> None:
    """Only the base of these rows has two scores; those in shards are not looked at."""
    points = read_points(database, limit=5)
    assert [(point.small, point.large, point.is_base, point.is_selected) for point in points] == [
        (0.5, 0.25, True, False)
    ] * 5
    assert len(read_points(database, limit=1000)) == NUM_ROWS - 3 * SHARD


def test_history_can_be_thinned(theatre_with_versions: Path) -> None:
    """With a step only the versions that it divides come, after the one that is known."""
    versions = [version.weights.version for version in read_history(theatre_with_versions, after=3, step=4)]
    assert versions == [4, 8, 12]


@pytest.fixture
def theatre_with_versions(tmp_path: Path) -> Path:
    from tests.web.test_page import fill

    run_real(fill(tmp_path / "run.db", 130))
    return tmp_path / "run.db"


def test_the_service_tells_rows_and_refuses_too_many(database: Path) -> None:
    """Lines, a row whole, the row of a seed, scores; what is not there is 404, what is too much 422 with the limit."""

    async def main() -> None:
        theatre = Theatre(database.parent)
        async with theatre.playing(), aiohttp.ClientSession() as client:

            async def get(path: str) -> tuple[int, Any]:
                headers = {"Authorization": f"Bearer {theatre.address.read_token}"}
                async with client.get(theatre.address.url(f"/api/v1{path}"), headers=headers) as reply:
                    assert reply.headers["Cache-Control"] == "no-store"
                    assert reply.headers["X-Content-Type-Options"] == "nosniff"
                    return reply.status, await reply.json(content_type=None)

            code, told = await get("/rows/page?first=29&limit=3")
            assert (code, told["last"], [row["seq"] for row in told["rows"]]) == (200, NUM_ROWS, [29, 30, 31])
            assert told["rows"][0]["instruction"] == "Do thing 28 deeply."
            code, told = await get("/rows/12")
            assert (code, told["seq"], told["selected_slot"]) == (200, 12, 1)
            base, best, failed = told["slots"]
            assert (base["is_base"], base["verdict"]["source"], base["scores"]["large"]["ifd"]) == (True, "base", 0.25)
            assert (best["is_selected"], best["response"], best["calls"][0]["text"]) == (True, *["Deep answer 11"] * 2)
            assert failed["failure"]["reason"] == "timeout"
            assert await get("/seeds/11") == (200, {"row": 12})
            assert (await get("/scores?rows=2"))[1] == {"selected": [], "base": [[0.5, 0.25]] * 2, "other": []}
            assert (await get("/token"))[1] == {"may_write": False}
            for path, code in (("/rows/48", 404), ("/seeds/47", 404), ("/rows/x", 422), ("/rows/page?limit=201", 422)):
                assert (await get(path))[0] == code
            assert (await get("/scores?rows=2001"))[1]["problems"] == ["rows: at most 2000"]

    run_real(main())
