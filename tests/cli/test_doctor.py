"""`star-agents doctor` as a person types it: lines with mends, JSON, and the exit code."""

import json
import socket
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from star_agents.cli.main import app, main
from star_agents.endpoints import preflight
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.process.harness import Run, mock_endpoint, tiny_models
from tests.service.configs import spoiled
from tests.storage.examples import MANIFEST, plan


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_a_config_that_would_run(tmp_path: Path) -> None:
    """Nothing fails: a whole config, its models and an endpoint that answers; the same as JSON, without a call."""
    with mock_endpoint(tmp_path) as endpoint:
        config = Run(tmp_path, endpoint, tiny_models(tmp_path)).config()
        done = doctor(str(config))
        assert done.exit_code == 0, done.output
        assert sum(endpoint.sends().values()) == 1
        told = doctor(str(config), "--json", "--no-calls")
        assert sum(endpoint.sends().values()) == 1
    assert "0 fail" in done.output
    assert any(line.split()[:2] == ["ok", "endpoint"] and "answers" in line for line in done.output.splitlines())
    subjects = {finding["subject"] for finding in json.loads(told.output)}
    assert subjects >= {"packages", "sqlite", "gpu", "memory", "disk", "descriptors", "port", "inputs", "models"}
    assert subjects >= {"template", "endpoint"}
    assert not (tmp_path / "run").exists()


def test_every_problem_has_its_mend_and_the_config_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A taken port, seeds that are not there, a server that is gone: all are told, and 78 is for what one can write."""
    monkeypatch.setattr(preflight, "WAITS_S", ())
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        Path("run.yaml").write_text(yaml.safe_dump(spoiled("service", {"port": taken.getsockname()[1]})))
        done = doctor("run.yaml")
    assert done.exit_code == 78, done.output
    lines = done.output.splitlines()
    for told in ("(in use)", "cannot connect", "seeds.jsonl"):
        (at,) = (number for number, line in enumerate(lines) if told in line)
        assert lines[at].startswith("fail")
    assert any("-> stop the program" in line for line in lines)


def test_a_config_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    """Its problems are lines among those of the machine."""
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(spoiled("sampling.pairs_per_seed", "five")))
    done = doctor(str(tmp_path / "run.yaml"))
    assert done.exit_code == 78
    assert "sampling.pairs_per_seed" in done.output
    assert "sqlite" in done.output


@pytest.mark.fault("F-77")
def test_a_damaged_run(tmp_path: Path) -> None:
    """Its rows are named and the exit code is the store's; a folder that holds no run is the user's mistake."""
    folder = tmp_path / "run"
    folder.mkdir()

    async def begin() -> None:
        async with await RunStore.open(folder / "run.db", MANIFEST) as store:
            await store.assign(plan(0))

    run_real(begin())
    content = (folder / "run.db").read_bytes()
    at = content.index(bytes(range(256)))  # the embedding of the plan
    (folder / "run.db").write_bytes(content[: at + 9] + b"\xff" + content[at + 10 :])
    done = doctor("--run", str(folder))
    assert done.exit_code == 74, done.output
    assert "plan of seed 0 is damaged" in done.output
    assert "-> restore a copy of the run folder" in done.output


def test_a_folder_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused as everywhere."""
    monkeypatch.setattr("sys.argv", ["star-agents", "doctor", "--run", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 78
