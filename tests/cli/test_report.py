"""`star-agents report` as a person types it."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from star_agents.cli.main import app
from star_agents.core.errors import ConfigError
from tests.report.world import World, make


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments], env={"COLUMNS": "160"})


def test_a_report_lies_beside_the_data_sets(tmp_path: Path) -> None:
    """Or where it was asked for, with its summary; the run folder is otherwise as it was."""
    run = make(tmp_path / "run", World(num_seeds=30))
    before = {file.name for file in run.path.iterdir()} | {"out"}
    done = invoke(str(run.path))
    assert done.exit_code == 0, done.output
    assert "30 seeds, 30 rows" in done.output
    assert (run.out / "report.html").read_text().startswith("<!doctype html>")
    assert (run.out / "report.md").read_text().startswith("# star")
    assert invoke(str(run.path), "--out", str(tmp_path / "deep" / "mine.html")).exit_code == 0
    assert (tmp_path / "deep" / "mine.md").exists()
    assert {file.name for file in run.path.iterdir() if not file.name.startswith("run.db-")} == before


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    """No run there; a name that its summary would overwrite."""
    assert isinstance(invoke(str(tmp_path)).exception, ConfigError)
    run = make(tmp_path / "run", World(num_seeds=0))
    done = invoke(str(run.path), "--out", str(tmp_path / "report.md"))
    assert done.exit_code == 2
    assert ".html" in done.output


@pytest.mark.parametrize("library", ["matplotlib", "sklearn.cluster", "scipy.stats"])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """With the command that installs it, before a large run is read."""
    monkeypatch.setitem(sys.modules, library, None)
    done = invoke(str(tmp_path))
    assert isinstance(done.exception, ConfigError)
    assert "star-agents[report]" in str(done.exception)
