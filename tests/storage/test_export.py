"""Exported data sets: right rows, right bytes, loaded by those who will load them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from star_agents.core.calls import Completion, Purpose
from star_agents.core.errors import StoreError
from star_agents.core.records import RowSource
from star_agents.storage import export as export_module
from star_agents.storage import lineage, picks
from star_agents.storage.export import export
from star_agents.storage.formats import Example, ExportFormat
from star_agents.storage.lineage import METADATA
from star_agents.storage.publish import published
from star_agents.storage.rows import FinishedRow, iter_rows
from star_agents.storage.seeds import open_seeds
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan, update

FORMATS: tuple[ExportFormat, ...] = ("messages", "alpaca", "sharegpt", "parquet")
"""Those of one file a split; the others have tests of their own."""


def local(text: str) -> Completion:
    return completion(text, endpoint="local", model="smollm")


async def write(path: Path) -> None:
    """Four seeds, one of each source, committed in another order than the seeds'."""
    sources = {3: RowSource.CANDIDATE, 1: RowSource.BASE, 2: RowSource.SEED, 0: RowSource.DROPPED}
    async with await RunStore.open(path, MANIFEST) as store:
        for number in range(4):
            await store.assign(plan(number))
            await store.respond(asked(number, 1, Purpose.REWRITE), local("rewrite"))
            await store.respond(asked(number, 0), completion("base"))
            await store.respond(asked(number, 1), local("deep"))
            await store.respond(asked(number, 2), failure(2))
        for version, (number, source) in enumerate(sources.items(), start=1):
            await store.learn(update(version, number, source=source))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.db"
    run_real(write(path))
    return path


def json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_what_the_selection_took_in_seed_order(database: Path, tmp_path: Path) -> None:
    """Base, seed and candidate give their own texts; a dropped seed gives none and says why."""
    exported = export(database, tmp_path, row_format="messages")
    rows = json_lines(exported.data_file)
    assert [[turn["content"] for turn in row["messages"]] for row in rows] == [
        ["Do thing 1.", "Base answer 1"],
        ["Do thing 2.", "Done 2."],
        ["Do thing 3 deeply.", "Deep answer 3"],
    ]
    assert [row["metadata"]["source"] for row in rows] == ["base", "seed", "candidate"]
    assert json_lines(tmp_path / "dropped.jsonl") == [
        {"seed": 0, "source_id": "id-0", "reason": "min_score", "pi": None, "detail": ""}
    ]
    assert (exported.contents.rows, exported.contents.dropped) == (3, 1)
    assert not (tmp_path / "candidates.jsonl").exists()


def test_every_row_tells_its_whole_lineage(database: Path, tmp_path: Path) -> None:
    """Seed, pair, models, endpoints, scores and weights version; always the same keys, texts never null."""
    rows = json_lines(export(database, tmp_path, row_format="messages").data_file)
    assert all(list(row["metadata"]) == list(METADATA) for row in rows)
    for row in rows:
        for name, kind in METADATA.items():
            assert isinstance(row["metadata"][name], kind) or (kind is not str and row["metadata"][name] is None)
    assert rows[2]["metadata"] == {
        "seed": 3,
        "source_id": "id-3",
        "source": "candidate",
        "selected": True,
        "slot": 1,
        "instruction_agent": "deepen",
        "instruction_model": "smollm",
        "instruction_endpoint": "local",
        "response_agent": "weak",
        "response_model": "smollm",
        "response_endpoint": "local",
        "ifd_small": 0.75,
        "ifd_large": None,
        "pi_dual": 1.0,
        "pi_llm": 0.3,
        "pi": 0.3,
        "weights_version": 0,
        "reason": "",
        "injection_suspect": "",
    }
    assert rows[0]["metadata"]["reason"] == "no_positive_pi"
    assert rows[0]["metadata"]["instruction_model"] == ""


def test_losers_come_when_asked_and_go_when_not(database: Path, tmp_path: Path) -> None:
    """Winner and losers of one seed share its number; an export without them leaves none of an earlier one."""
    exported = export(database, tmp_path, row_format="alpaca", candidates=True)
    found = [(row["metadata"]["seed"], row["metadata"]["slot"]) for row in json_lines(tmp_path / "candidates.jsonl")]
    assert found == [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1), (3, 0)]
    assert exported.contents.losers == 6
    export(database, tmp_path, row_format="alpaca")
    assert not (tmp_path / "candidates.jsonl").exists()


@pytest.mark.parametrize("row_format", FORMATS)
def test_the_same_run_gives_the_same_bytes(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """All files, card included; nothing is left aside, and what a dead writer left is swept."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / ".tmp-99999999-train.jsonl").write_text("torn")
    for name in ("first", "second"):
        export(database, tmp_path / name, row_format=row_format, candidates=True)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")
    )
    assert first == second
    assert len(first) == 4
    assert not any(name.startswith(".") for name in first)


@pytest.mark.parametrize("row_format", FORMATS)
def test_every_format_is_loaded_by_datasets(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """As one file, and as a folder with its card: the same rows, with typed columns."""
    datasets = pytest.importorskip("datasets")
    exported = export(database, tmp_path / "out", row_format=row_format, candidates=True)
    kind = "parquet" if row_format == "parquet" else "json"
    cache = str(tmp_path / "cache")
    alone = datasets.load_dataset(kind, data_files=str(exported.data_file), split="train", cache_dir=cache)
    folder = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=cache)
    assert alone.to_list() == folder.to_list()
    assert len(alone) == 3
    assert {key: feature.dtype for key, feature in folder.features["metadata"].items()} == {
        key: {int: "int64", float: "float64", str: "string", bool: "bool"}[kind] for key, kind in METADATA.items()
    }


@pytest.mark.parametrize("row_format", FORMATS)
def test_every_format_is_read_back_as_seeds(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """What star-agents writes it can improve again."""
    exported = export(database, tmp_path, row_format=row_format)

    async def main() -> list[tuple[str, str]]:
        source = await open_seeds(str(exported.data_file))
        return [(seed.question, seed.response) for seed in await source.read(9)]

    assert run_real(main())[0] == ("Do thing 1.", "Base answer 1")
    assert len(run_real(main())) == 3


def test_a_column_unknown_for_ten_megabytes_still_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` guesses types from the first ten megabytes; the card spares it the guess."""
    datasets = pytest.importorskip("datasets")
    run_real(write(tmp_path / "run.db"))
    base, seed, candidate = (row for row in iter_rows(tmp_path / "run.db") if row.seq != 4)
    monkeypatch.setattr(export_module, "iter_rows", lambda _, **__: iter([*[seed] * 14, candidate, base]))
    monkeypatch.setattr(picks, "selected", _long)
    export(tmp_path / "run.db", tmp_path / "out", row_format="messages")
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[13]["metadata"]["pi"] is None
    assert loaded[14]["metadata"]["pi"] == 0.3


def _long(row: FinishedRow) -> Example:
    example = lineage.selected(row)
    assert example is not None
    return Example("x" * 1_000_000, example.response, "", example.metadata)


def test_the_card_tells_what_is_there_and_what_is_missing(database: Path, tmp_path: Path) -> None:
    """Counts, pairs, models, reasons, and the licences a person must fill in."""
    export(database, tmp_path, row_format="sharegpt", candidates=True)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\ntags:")
    for told in (
        "# tiny",
        "| `train.json` | 3 |",
        "| `candidates.jsonl` | 6 |",
        "| `deepen+weak` | 1 |",
        "| `gpt-4o-mini` | 1 |",
        "| `min_score` | 1 |",
        "`seeds.jsonl` (SHA-256 `000",
        "- `smollm`, terms: to be filled in",
    ):
        assert told in card


def test_an_empty_run_gives_an_empty_data_set(tmp_path: Path) -> None:
    """Nothing finished yet is no error."""

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST):
            pass

    run_real(main())
    for row_format in FORMATS:
        exported = export(tmp_path / "run.db", tmp_path / row_format, row_format=row_format)
        assert exported.contents.rows == 0
    assert json.loads((tmp_path / "alpaca" / "train.json").read_text()) == []


def test_a_failed_export_leaves_the_old_files(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged row ends it; the data set that was there stays whole."""
    first = export(database, tmp_path, row_format="messages")
    before = first.data_file.read_bytes()

    def broken(_: Path, **__: object) -> Iterator[object]:
        raise StoreError("the result of seed 3 is damaged")
        yield

    monkeypatch.setattr(export_module, "iter_rows", broken)
    with pytest.raises(StoreError, match="seed 3"):
        export(database, tmp_path, row_format="messages")
    assert first.data_file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "dropped.jsonl", "train.jsonl"]


def test_what_cannot_be_read_or_written_is_one_line(database: Path, tmp_path: Path) -> None:
    """No run there, or no folder to write to."""
    with pytest.raises(StoreError, match="cannot be opened"):
        export(tmp_path / "run.db", tmp_path / "out", row_format="messages")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        export(database, tmp_path / "file" / "out", row_format="messages")


def test_a_published_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    """While it is written the old one is there, and an error leaves it there."""
    path = tmp_path / "data"
    path.write_bytes(b"old")
    with published(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(ValueError, match="closed"), published(path) as stream:
        stream.close()
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["data"]
