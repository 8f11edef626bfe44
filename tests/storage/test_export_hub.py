"""A data set goes to a hub as one commit, in private, and what the hub does not take stays here."""

import json
import sys
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError, HubError
from star_agents.storage.export import ExportOptions, export
from star_agents.storage.formats import ExportFormat
from star_agents.storage.hub import Push, open_hub, push_folder
from tests.loops import run_real
from tests.storage.contests import Answer, contest, write_run
from tests.storage.fake_hub import fake_hub

SEEDS = [contest(n, (Answer(text="good", pi=0.9), Answer(text="poor", pi=0.1))) for n in range(12)]
PUSH = Push(name="org/tiny")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.db"
    run_real(write_run(path, SEEDS))
    return path


@pytest.mark.parametrize("row_format", ["messages", "dpo", "datasets"])
def test_a_folder_is_pushed_with_its_card(database: Path, tmp_path: Path, row_format: ExportFormat) -> None:
    """By the hub's own client; what else lies in the folder stays here. What arrived is loaded again, by its card."""
    datasets = pytest.importorskip("datasets")
    options = ExportOptions(test_share=0.5, licence="cc-by-4.0")
    exported = export(database, tmp_path, row_format=row_format, options=options)
    (tmp_path / "notes.txt").write_text("mine")
    with fake_hub() as hub:
        told = push_folder(open_hub(PUSH, endpoint=hub.url, token="hf_secret"), PUSH, tmp_path)  # noqa: S106  # made up
    assert told == f"{hub.url}/datasets/org/tiny"
    (asked,) = hub.created
    assert asked.get("private", asked.get("visibility")) in {True, "private"}
    assert (asked["name"], asked["organization"], asked["type"]) == ("tiny", "org", "dataset")
    assert hub.tokens == {"Bearer hf_secret"}
    assert "notes.txt" not in hub.files
    assert b"license: cc-by-4.0" in hub.files["README.md"]
    there = tmp_path / "there"
    for name, content in hub.files.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(content)
    loaded = datasets.load_dataset(str(there), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == dict(exported.contents.splits)


def test_only_who_says_so_publishes(database: Path, tmp_path: Path) -> None:
    """`--public` makes the new repository public."""
    export(database, tmp_path, row_format="messages")
    wish = Push(name="org/tiny", public=True)
    with fake_hub() as hub:
        push_folder(open_hub(wish, endpoint=hub.url, token="t"), wish, tmp_path)  # noqa: S106  # made up
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in {False, "public"}
    assert json.loads(hub.files["train.jsonl"].splitlines()[0])["messages"][1]["content"] == "good"


@pytest.mark.parametrize("status", [401, 403, 400])
def test_a_hub_that_refuses_is_one_line(database: Path, tmp_path: Path, status: int) -> None:
    """It names the data set, what the hub says, and what is still there."""
    export(database, tmp_path, row_format="messages")
    with fake_hub(refuses=status) as hub, pytest.raises(HubError, match="org/tiny") as caught:
        push_folder(open_hub(PUSH, endpoint=hub.url, token="t"), PUSH, tmp_path)  # noqa: S106  # made up
    assert "not for you" in str(caught.value)
    assert "is written and stays" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "train.jsonl").exists()


def test_a_hub_that_is_not_there_is_one_line(database: Path, tmp_path: Path) -> None:
    """No connection is no traceback."""
    export(database, tmp_path, row_format="messages")
    with fake_hub() as hub:
        gone = hub.url
    with pytest.raises(HubError, match="org/tiny"):
        push_folder(open_hub(PUSH, endpoint=gone, token="t"), PUSH, tmp_path)  # noqa: S106  # made up


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "org/", "org/a--b", "org/ä"])
def test_a_name_that_no_repository_has_is_refused_before_the_work(name: str) -> None:
    """Nothing is exported or sent for it."""
    with pytest.raises(ConfigError, match="--push"):
        open_hub(Push(name=name))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, database: Path, tmp_path: Path) -> None:
    """With the command that installs it."""
    for library in ("huggingface_hub", "datasets", "datasketch"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"star-agents\[hub\]"):
        open_hub(PUSH)
    with pytest.raises(ConfigError, match=r"star-agents\[hub\]"):
        export(database, tmp_path, row_format="datasets")
    from star_agents.storage.near_duplicates import minhash_sieve

    with pytest.raises(ConfigError, match=r"star-agents\[dedup\]"):
        minhash_sieve()
