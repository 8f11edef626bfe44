"""Columns for Arrow: those that pyarrow itself would make, without what it would load."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.storage.columns import column

KINDS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(),
    pa.binary(): st.binary(),
}
COLUMNS = st.sampled_from(list(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | KINDS[kind], max_size=40))
)

ONE_SHARD = """
import sys
from pathlib import Path
from star_agents.storage import shards

def value(kind, number):
    return {"int64": number, "float64": 0.5, "string": "text", "binary": b"body"}[kind]

rows = [tuple(value(kind, number) for kind in shards.ROWS.values()) for number in range(1, 9)]
replies = [tuple(value(kind, number) for kind in shards.REPLIES.values()) for number in range(1, 9)]
folder = Path(sys.argv[1])
made = shards.prepared(rows, replies)
made.write(folder)
assert [number for number, in made.shard.read_replies(folder, ["seed"])] == list(range(1, 9))
print("pandas" in sys.modules)
"""


@given(COLUMNS)
def test_it_is_what_pyarrow_makes(drawn: tuple[pa.DataType, list[Any]]) -> None:
    """For any values of the four types, with gaps, and for none at all."""
    kind, values = drawn
    ours = column(values, kind)
    ours.validate(full=True)
    assert ours.equals(pa.array(values, type=kind))
    assert ours.to_pylist() == values


@pytest.mark.fault("F-70")
def test_f70_a_shard_is_written_and_read_without_pandas(tmp_path: Path) -> None:
    """In a process of its own: fifty megabytes that a run would never give back."""
    pytest.importorskip("pandas")
    command = [sys.executable, "-c", ONE_SHARD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
