"""What every `SeedSource` promises, tried on the fake and on the real one alike."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.core.ports import SeedSource
from star_agents.core.records import Seed
from star_agents.storage.seeds import open_seeds
from tests.fakes.store import ListSeeds
from tests.loops import run_real

Opener = Callable[[list[Seed]], Coroutine[Any, Any, SeedSource]]


@pytest.fixture(params=["fake", "json", "jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """A function that makes a source of the given seeds."""

    async def fake(seeds: list[Seed]) -> SeedSource:
        return ListSeeds(seeds)

    async def real(seeds: list[Seed]) -> SeedSource:
        path = tmp_path / f"seeds.{request.param}"
        write_rows(path, [as_alpaca(seed) for seed in seeds])
        return await open_seeds(str(path))

    return fake if request.param == "fake" else real


def as_alpaca(seed: Seed) -> dict[str, object]:
    """The row that this seed is read from."""
    row: dict[str, object] = {"instruction": seed.instruction, "input": seed.context, "output": seed.response}
    return row if seed.source_id is None else row | {"id": seed.source_id}


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows in the format that the name asks for."""
    import gzip

    import pyarrow as pa
    import zstandard
    from pyarrow import parquet

    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    path.unlink(missing_ok=True)
    match path.name.split(".", 1)[1]:
        case "json":
            path.write_bytes(orjson.dumps(rows))
        case "jsonl":
            path.write_bytes(lines)
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines))
        case "jsonl.zst":
            path.write_bytes(zstandard.compress(lines))
        case "parquet":
            parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
        case _:
            raise AssertionError(path)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SEEDS = st.lists(st.tuples(TEXTS.filter(str.strip), TEXTS, TEXTS), min_size=1, max_size=40)


@given(texts=SEEDS, limit=st.integers(1, 50))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_seed_comes_once_in_order(opener: Opener, texts: list[tuple[str, str, str]], limit: int) -> None:
    """However few are read at a time; equal seeds stay two seeds; the end is an empty list, and stays so."""
    seeds = [Seed(number, *text, source_id=f"s{number}") for number, text in enumerate(texts)]

    async def main() -> list[Seed]:
        source = await opener(seeds)
        read: list[Seed] = []
        while some := await source.read(limit):
            assert len(some) <= limit
            read += some
        assert await source.read(limit) == []
        return read

    assert run_real(main()) == seeds
