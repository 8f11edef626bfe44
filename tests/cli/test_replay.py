"""`replay` at the command line: a table, JSON, and the words of a refusal."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from star_agents.cli.main import app
from star_agents.policy.weights import PaperRule
from tests.service.test_replay import finished, stored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    stored(path, finished())
    return path


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", *arguments], env={"COLUMNS": "160"})


def test_a_table_with_intervals_and_evidence(folder: Path) -> None:
    """Each estimator has its line, and what it rests on is told."""
    done = asked(str(folder), "--rule", "uniform")
    assert done.exit_code == 0, done.output
    for line in (
        "the run itself",
        "the rule, IPS",
        "the rule, self-normalised",
        "the rule, doubly robust",
        "gain over",
    ):
        assert line in done.output
    assert "effective sample size" in done.output
    assert "clipping at 20" in done.output


def test_the_same_as_json(folder: Path) -> None:
    """One object for programs."""
    told = json.loads(asked(str(folder), "--rule", "paper", "--rate", "0.01", "--json").output)
    assert told["rule"].startswith("PaperRule(rate=0.01")


def test_a_refusal_has_its_reason_and_an_exit_code(tmp_path: Path) -> None:
    """A run that had all but settled on one pair says little of drawing all alike: no estimates, the reason, and 1."""
    stored(tmp_path, finished(num_seeds=150, rule=PaperRule(rate=0.05, floor=0.001)))
    done = asked(str(tmp_path), "--rule", "uniform")
    assert done.exit_code == 1
    assert "cannot tell:" in done.output
    assert "doubly robust" not in done.output
