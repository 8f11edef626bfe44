"""A row is always in the same block, wherever reading starts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import SeedError
from star_agents.core.records import Seed
from star_agents.storage.row_blocks import RowBlock, RowBlocks, UnusableRow
from star_agents.storage.seeds import row_file
from tests.loops import run_real

ROWS = st.lists(
    st.sampled_from([{"instruction": "x", "output": "y"}, {"output": "y"}, [], {"instruction": ""}]), max_size=20
)


def read_all(path: Path, *, size: int, start: int = 0) -> list[RowBlock]:
    async def read() -> list[RowBlock]:
        blocks = RowBlocks(row_file(str(path)), size=size, start=start)
        found = []
        while (block := await blocks.read()) is not None:
            found.append(block)
        return found

    return run_real(read())


@given(ROWS, st.integers(1, 7), st.data())
def test_blocks_do_not_depend_on_where_reading_starts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object], size: int, data: st.DataObject
) -> None:
    """From any block on they are the same; rows are without a gap, and those that cannot be used keep their place."""
    path = tmp_path_factory.mktemp("blocks") / "data.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n\n" for row in rows) or "\n")
    whole = read_all(path, size=size)
    numbers = [row.number for block in whole for row in block.rows]
    assert numbers == list(range(len(rows)))
    assert all(len(block.rows) == size for block in whole[:-1])
    usable = [isinstance(row, dict) and "instruction" in row for row in rows]
    assert [isinstance(row, Seed) for block in whole for row in block.rows] == usable
    assert sum(block.num_unusable for block in whole) == usable.count(False)
    first = data.draw(st.integers(0, len(whole)))
    assert read_all(path, size=size, start=first * size) == whole[first:]


def test_an_unusable_row_says_why_and_where(tmp_path: Path) -> None:
    """The place is the line of the file."""
    (tmp_path / "data.jsonl").write_text('{"instruction": "x"}\n\n{"output": "y"}\nprose\n')
    (block,) = read_all(tmp_path / "data.jsonl", size=8)
    _, no_instruction, prose = block.rows
    assert isinstance(no_instruction, UnusableRow)
    assert no_instruction.place.endswith("data.jsonl:3")
    assert no_instruction.reason.startswith("no field named instruction")
    assert isinstance(prose, UnusableRow)
    assert prose.reason.startswith("not JSON")


def test_a_file_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """What was read before it is not taken back."""
    with pytest.raises(SeedError, match="no such file"):
        read_all(tmp_path / "nowhere.jsonl", size=4)
