"""Each format as those read it who train on it: `datasets`, TRL, the documented schemas of LLaMA-Factory and axolotl.

The last two are too heavy to install for a test. What their documents ask of a row is written down here, with the page.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from star_agents.storage.export import ExportOptions, export
from star_agents.storage.formats import ExportFormat
from star_agents.storage.seeds import row_file
from tests.loops import run_real
from tests.storage.contests import Answer, contest, write_run

NASTY = 'Say "so\\n" in <b>bold</b>, 日本語, \u2028 and {{ braces }}.'
SEEDS = [
    contest(n, (Answer(text=f"good {n}", pi=0.9), Answer(text=f"poor {n}", pi=0.1)), text=f"{NASTY} {n}?")
    for n in range(12)
]
ALL: tuple[ExportFormat, ...] = ("messages", "alpaca", "sharegpt", "parquet", "datasets", "dpo")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.db"
    run_real(write_run(path, SEEDS))
    return path


def rows_of(database: Path, folder: Path, row_format: ExportFormat) -> list[dict[str, Any]]:
    """The rows of the data file, read by nothing of the exporter's own."""
    data_file = export(database, folder, row_format=row_format).data_file
    return [row.value for row in row_file(str(data_file)).rows(0) if isinstance(row.value, dict)]


@pytest.mark.parametrize("row_format", ALL)
def test_datasets_loads_the_folder_with_both_halves(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """By the card alone: the splits, the columns and their types."""
    datasets = pytest.importorskip("datasets")
    exported = export(database, tmp_path / "out", row_format=row_format, options=ExportOptions(test_share=0.5))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == dict(exported.contents.splits)
    assert set(loaded) == {"train", "test"}
    assert {row["metadata"]["seed"] for rows in loaded.values() for row in rows} == set(range(12))
    assert loaded["train"].features["metadata"]["pi"].dtype == "float64"


@pytest.mark.parametrize("row_format", ALL)
def test_an_empty_test_half_hinders_nobody(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """Of twelve seeds a share of one in a thousand is none."""
    datasets = pytest.importorskip("datasets")
    export(database, tmp_path / "out", row_format=row_format, options=ExportOptions(test_share=0.001))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 12}


def test_what_a_killed_export_left_aside_is_swept(database: Path, tmp_path: Path) -> None:
    """A folder, too, of a process that is no more."""
    (tmp_path / ".tmp-99999999-abc").mkdir()
    (tmp_path / ".tmp-99999999-abc" / "train.arrow").write_text("torn")
    export(database, tmp_path, row_format="messages")
    assert not list(tmp_path.glob(".tmp*"))


def test_a_saved_folder_is_opened_from_the_disk(database: Path, tmp_path: Path) -> None:
    """As `save_to_disk` would have left it; again over itself, too, and empty."""
    datasets = pytest.importorskip("datasets")
    for share in (0.5, 0.0):
        exported = export(database, tmp_path / "out", row_format="datasets", options=ExportOptions(test_share=share))
        loaded = datasets.load_from_disk(str(tmp_path / "out"))
        assert {split: len(rows) for split, rows in loaded.items()} == dict(exported.contents.splits)
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    assert loaded["train"][3]["messages"][1] == {"role": "assistant", "content": "good 3"}
    run_real(write_run(tmp_path / "empty.db", [contest(0, (Answer(text="x"),), winner=None)]))
    export(tmp_path / "empty.db", tmp_path / "empty", row_format="datasets")
    assert len(datasets.load_from_disk(str(tmp_path / "empty"))["train"]) == 0


def test_a_folder_of_somebody_else_is_not_replaced(database: Path, tmp_path: Path) -> None:
    """`train` is a usual name for a folder of pictures."""
    from star_agents.core.errors import StoreError

    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "cat.png").write_bytes(b"cat")
    with pytest.raises(StoreError, match="something else"):
        export(database, tmp_path, row_format="datasets")
    assert (tmp_path / "train" / "cat.png").read_bytes() == b"cat"


def test_trl_knows_the_pairs_for_preferences(database: Path, tmp_path: Path) -> None:
    """Conversational, with an explicit prompt: each row is laid out by a chat template without a guess."""
    data_utils = pytest.importorskip("trl.data_utils")
    for row in rows_of(database, tmp_path, "dpo"):
        assert data_utils.is_conversational(row)
        number = row["metadata"]["seed"]
        laid = data_utils.maybe_apply_chat_template(row, _Plain())
        assert laid["prompt"] == f"<user>{NASTY} {number}?<assistant>"
        assert (laid["chosen"], laid["rejected"]) == (f"good {number}.", f"poor {number}.")


class _Plain:
    """A tokenizer as far as a chat template goes."""

    def apply_chat_template(self, messages: list[dict[str, str]], **asked: object) -> str:
        text = "".join(
            f"<user>{turn['content']}" if turn["role"] == "user" else f"<assistant>{turn['content']}."
            for turn in messages
        )
        return text + "<assistant>" if asked.get("add_generation_prompt") else text


def test_llama_factory_takes_alpaca_rows(database: Path, tmp_path: Path) -> None:
    """`formatting: alpaca`, default columns: instruction is required, input follows it on a line of its own, output.

    https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Alpaca Format, Supervised Fine-Tuning Dataset".
    """
    for number, row in enumerate(rows_of(database, tmp_path, "alpaca")):
        assert all(isinstance(row[column], str) for column in ("instruction", "input", "output"))
        assert row["instruction"]
        assert "\n".join(filter(None, (row["instruction"], row["input"]))) == f"{NASTY} {number}?"
        assert not {"system", "history"} & row.keys()


def sharegpt_turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The conversation as LLaMA-Factory's documents say: human and observation in odd places, gpt and function in even.

    https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Sharegpt Format", default tags.
    """
    turns = [(turn["from"], turn["value"]) for turn in row["conversations"]]
    assert all(role in {"human", "observation"} for role, _ in turns[0::2])
    assert all(role in {"gpt", "function"} for role, _ in turns[1::2])
    assert len(turns) % 2 == 0
    return turns


def test_llama_factory_takes_sharegpt_rows(database: Path, tmp_path: Path) -> None:
    """`formatting: sharegpt`, default columns and tags."""
    for number, row in enumerate(rows_of(database, tmp_path, "sharegpt")):
        assert sharegpt_turns(row) == [("human", f"{NASTY} {number}?"), ("gpt", f"good {number}")]


def test_axolotl_takes_messages_rows(database: Path, tmp_path: Path) -> None:
    """`type: chat_template`, defaults: `messages` of `role` and `content`, a user's turn and then the assistant's.

    https://docs.axolotl.ai/docs/dataset-formats/conversation.html, "chat_template".
    """
    for row_format in ("messages", "parquet"):
        for row in rows_of(database, tmp_path / row_format, row_format):
            assert all(turn.keys() == {"role", "content"} for turn in row["messages"])
            assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
            assert all(isinstance(turn["content"], str) and turn["content"] for turn in row["messages"])
