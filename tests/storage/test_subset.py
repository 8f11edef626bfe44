"""Chosen rows come out as they went in, in their order."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from star_agents.core.errors import ConfigError, SeedError
from star_agents.storage.seeds import row_file
from star_agents.storage.subset import check_subset_path, natural_suffix, publish_subset

CHOSEN = np.array([1, 2, 5])

LINES = [
    b'{"instruction": "0"}',
    b'{"b": 1.0,   "instruction": "spaces,\\u0020escapes and order", "a": [1, {"z": null}]}',
    b'{"instruction": "large", "n": 123456789012345678901234567890}',
    b'{"instruction": "3"}',
    b"",
    b"this is not JSON",
    '{"instruction": "umlauts: äöü", "messages": "x"}'.encode(),
]


def write(path: Path, source: Path, numbers: Any = CHOSEN, look: Callable[[], None] = lambda: None) -> bytes:  # noqa: ANN401  # an array
    publish_subset(path, row_file(str(source)), numbers, look)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz", "data.ndjson.zst"])
def test_a_line_stays_the_line_it_was(tmp_path: Path, name: str) -> None:
    """Byte for byte: spaces, escapes, the order of keys, numbers too large for a float."""
    content = b"\n".join(LINES)
    packed = {".gz": gzip.compress(content), ".zst": zstandard.compress(content)}
    (tmp_path / name).write_bytes(packed.get(Path(name).suffix, content))
    expected = LINES[1] + b"\n" + LINES[2] + b"\n" + LINES[6] + b"\n"
    assert write(tmp_path / "out.jsonl", tmp_path / name) == expected
    assert zstandard.decompress(write(tmp_path / "out.jsonl.zst", tmp_path / name), len(expected)) == expected
    assert write(tmp_path / "out.json", tmp_path / name) == b"[\n%b,\n%b,\n%b\n]\n" % (LINES[1], LINES[2], LINES[6])


def test_an_array_stays_an_array(tmp_path: Path) -> None:
    """As Alpaca's readers load it; chosen of nothing it is empty."""
    rows = [{"instruction": str(number), "output": "ä"} for number in range(6)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    assert natural_suffix(row_file(str(tmp_path / "data.json"))) == ".json"
    assert json.loads(write(tmp_path / "out.json", tmp_path / "data.json")) == [rows[1], rows[2], rows[5]]
    assert json.loads(write(tmp_path / "none.json", tmp_path / "data.json", np.array([], dtype=np.int64))) == []


def table_file(folder: Path) -> Path:
    """A table with types that JSON does not have, in row groups of four rows."""
    table = pa.table(
        {
            "instruction": [str(number) for number in range(10)],
            "price": [Decimal(number) / 4 for number in range(10)],
            "at": [datetime(2026, 1, 1 + number, tzinfo=UTC) for number in range(10)],
        }
    ).replace_schema_metadata({"source": "test"})
    parquet.write_table(table, folder / "data.parquet", row_group_size=4)
    return folder / "data.parquet"


def test_a_table_keeps_its_schema(tmp_path: Path) -> None:
    """Types, metadata and values of the chosen rows, whatever row groups they were in."""
    source = table_file(tmp_path)
    whole = parquet.read_table(source)
    assert natural_suffix(row_file(str(source))) == ".parquet"
    for numbers in (np.array(chosen, dtype=np.int64) for chosen in ([1, 2, 5], [], range(10), [9])):
        path = tmp_path / f"{len(numbers)}.parquet"
        write(path, source, numbers)
        found = parquet.read_table(path)
        assert found.equals(whole.take(numbers), check_metadata=True)


def test_a_value_that_json_lacks_is_refused(tmp_path: Path) -> None:
    """Rather than changed; the message names the row and the mend, and no file is left."""
    with pytest.raises(ConfigError, match=r"row 2: does not fit into JSON .* name a \.parquet file"):
        write(tmp_path / "out.jsonl", table_file(tmp_path))
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_in_the_way_must_hold_the_same(tmp_path: Path) -> None:
    """A second start finds what the first wrote; anything else is left alone."""
    (tmp_path / "data.jsonl").write_bytes(b"\n".join(LINES))
    content = write(tmp_path / "out.jsonl", tmp_path / "data.jsonl")
    assert write(tmp_path / "out.jsonl", tmp_path / "data.jsonl") == content
    with pytest.raises(ConfigError, match="is there already, with other rows"):
        write(tmp_path / "out.jsonl", tmp_path / "data.jsonl", np.array([0]))
    assert (tmp_path / "out.jsonl").read_bytes() == content


def test_a_row_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """The data set was cut while it was read."""
    (tmp_path / "data.jsonl").write_bytes(b"\n".join(LINES))
    for source in (tmp_path / "data.jsonl", table_file(tmp_path)):
        path = tmp_path / f"out{natural_suffix(row_file(str(source)))}"
        with pytest.raises(SeedError, match="has no row 40"):
            write(path, source, np.array([1, 40]))
        assert not path.exists()


def test_only_a_table_becomes_a_table(tmp_path: Path) -> None:
    """JSON has no schema; and a suffix that we do not write is refused, with those that we do."""
    source = row_file(str(tmp_path / "data.jsonl"))
    with pytest.raises(ConfigError, match=r"name a \.jsonl"):
        check_subset_path(tmp_path / "out.parquet", source)
    with pytest.raises(ConfigError, match=r"out\.csv: name a file that ends in \.jsonl"):
        check_subset_path(tmp_path / "out.csv", source)
    check_subset_path(tmp_path / "out.parquet", row_file(str(table_file(tmp_path))))
