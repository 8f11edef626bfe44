"""Files of scores: the same rows in every kind of file, whole or absent, known by their note."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from star_agents.core.errors import ConfigError
from star_agents.core.records import ModelScore, Sample, Scores, ScoreStatus, Seed
from star_agents.storage import score_files
from star_agents.storage.row_blocks import UnusableRow
from star_agents.storage.score_files import discard_scores, finished_note, note_path, publish_scores
from star_agents.storage.score_rows import RowShape, gap, is_scored
from star_agents.storage.seeds import row_file
from tests.fakes.scoring import length_score

HEADER = {"data_sha256": "abc", "rows": 40}
KINDS = ["s.jsonl", "s.jsonl.zst", "s.parquet"]
FULL = RowShape(has_large=True, has_texts=True)


class Counter:
    """A tally that counts."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def report(self) -> dict[str, Any]:
        return {"rows": len(self.rows)}


def make_lines(shape: RowShape, num_rows: int = 40) -> list[bytes]:
    """Rows that cannot be used, that have no response, and that are scored, four a block."""
    lines = []
    for number in range(num_rows):
        if number % 7 == 0:
            lines.append(shape.line(UnusableRow(number, "data.jsonl:1", "the instruction is empty"), None))
            continue
        seed = Seed(number, f"Say {number}.", "" if number % 5 == 0 else "word " * number, source_id=f"id {number}")
        lines.append(shape.line(seed, length_score(Sample(seed.instruction, seed.response))))
    return [b"".join(lines[first : first + 4]) for first in range(0, num_rows, 4)]


def read(path: Path) -> list[object]:
    return [row.value for row in row_file(str(path)).rows(0)]


@pytest.mark.parametrize("shape", [FULL, RowShape(has_large=False)], ids=["full", "small only"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_holds_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: RowShape
) -> None:
    """Numbers, nulls and texts come back as they were, over several row groups, and the tally sees each row."""
    monkeypatch.setattr(score_files, "PARQUET_ROWS", 12)
    blocks, tally = make_lines(shape), Counter()
    publish_scores(tmp_path / name, shape, HEADER, blocks, tally)
    expected = [json.loads(line) for block in blocks for line in block.splitlines()]
    assert read(tmp_path / name) == expected
    assert tally.rows == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, f"{name}.meta.json"])


@pytest.mark.parametrize("name", KINDS)
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    """Also in a compressed file and in a table."""
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        publish_scores(tmp_path / folder / name, FULL, HEADER, make_lines(FULL), Counter())
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", KINDS)
def test_a_finished_file_is_known_by_its_note(tmp_path: Path, name: str) -> None:
    """The note has header and report; a file that was changed, or has no note, is not the finished one."""
    path = tmp_path / name
    assert finished_note(path) is None
    note = publish_scores(path, FULL, HEADER, make_lines(FULL), Counter())
    assert finished_note(path) == note
    assert (note.header, note.report) == (HEADER, {"rows": 40})
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    assert finished_note(path) is None
    path.write_bytes(content)
    note_path(path).write_text("{}")
    assert finished_note(path) is None
    discard_scores(path)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_place_as_it_was(tmp_path: Path) -> None:
    """Whatever interrupts the writing, neither a file nor a note of it is seen."""

    def broken() -> Any:  # noqa: ANN401  # a generator of bytes
        yield make_lines(FULL)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_scores(tmp_path / "s.parquet", FULL, HEADER, broken(), Counter())
    assert not list(tmp_path.iterdir())


def test_a_table_says_what_it_is_of(tmp_path: Path) -> None:
    """The header is in the metadata of a Parquet file, and every column has a type even if all of it is null."""
    shape = RowShape(has_large=True)
    line = shape.line(Seed(0, "Say nothing."), length_score(Sample("Say nothing.", "")))
    publish_scores(tmp_path / "s.parquet", shape, HEADER, [line], Counter())
    schema = parquet.read_schema(tmp_path / "s.parquet")
    assert json.loads(schema.metadata[b"star_agents"]) == HEADER
    assert str(schema.field("gap").type) == "double"
    assert str(schema.field("small").type.field("ifd").type) == "double"


def test_a_name_of_no_kind_is_refused() -> None:
    """The message says what there is."""
    with pytest.raises(ConfigError, match=r"scores.csv: name a file that ends in \.jsonl, \.jsonl\.zst, \.parquet"):
        score_files.sink_for(Path("scores.csv"))


def test_a_row_has_the_same_keys_whatever_becomes_of_it() -> None:
    """Readers guess types from the first rows: no text is null, no key comes or goes."""
    rows = [json.loads(line) for block in make_lines(FULL) for line in block.splitlines()]
    assert len({(tuple(row), tuple(row["small"]), tuple(row["large"])) for row in rows}) == 1
    texts = ("id", "instruction", "input", "output")
    assert all(isinstance(row[name], str) for row in rows for name in texts)
    assert all(isinstance(row["small"][name], str) for row in rows for name in ("status", "reason"))


def test_the_gap_needs_both_scores() -> None:
    """IFD_small - IFD_large (Eq. 5), or nothing; never 0 because something is missing."""
    known, unknown = ModelScore(ScoreStatus.OK, ifd=0.75), ModelScore(ScoreStatus.ERROR)
    assert gap(Scores(known, ModelScore(ScoreStatus.OK, ifd=0.5))) == 0.25
    assert [gap(scores) for scores in (Scores(known), Scores(known, unknown), Scores(unknown, known), None)] == [
        None
    ] * 4
    assert is_scored(Scores(known))
    assert not is_scored(Scores(known, unknown))


@pytest.mark.fault("F-57")
def test_no_number_in_a_file_is_not_finite() -> None:
    """Even where a scorer breaks its promise, what is written is JSON."""
    broken = ModelScore(ScoreStatus.OK, ppl_alone=math.inf, ppl_cond=math.nan, ifd=1.0)
    row = json.loads(RowShape(has_large=False).line(Seed(0, "x"), Scores(broken)))
    assert (row["small"]["ppl_alone"], row["small"]["ppl_cond"]) == (None, None)
