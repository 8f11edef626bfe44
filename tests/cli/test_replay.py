"""`replay` at the command line: a table, JSON, and the words of a refusal."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from star_agents.cli.main import app, main
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
    done = asked(str(folder), "--rule", "uniform", "--per", "draw")
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
    assert "clipping at 20: 1 draws" in done.output


def test_the_same_as_json(folder: Path) -> None:
    """One object for programs."""
    told = json.loads(asked(str(folder), "--rule", "paper", "--rate", "0.01", "--json").output)
    assert told["rule"].startswith("FilledRule(rule=PaperRule(rate=0.01")


def test_a_refusal_has_its_reason_and_an_exit_code(tmp_path: Path) -> None:
    """A run that had all but settled on one pair says little of drawing all alike: no estimates, the reason, and 1."""
    stored(tmp_path, finished(num_seeds=150, rule=PaperRule(rate=0.05, floor=0.001)))
    done = asked(str(tmp_path), "--rule", "uniform")
    assert done.exit_code == 1
    assert "cannot tell:" in done.output
    assert "doubly robust" not in done.output
    told = asked(str(tmp_path), "--rule", "uniform", "--json")
    assert told.exit_code == 1
    refused = json.loads(told.output)
    assert refused["estimates"] is None
    assert any("effective seeds" in reason for reason in refused["refusals"])
    assert refused["evidence"]["effective_seeds"] < 100


def test_a_run_that_has_learnt_nothing_yet_cannot_tell(tmp_path: Path) -> None:
    """There is no evidence to show, so there is none in the text and a null in the JSON."""
    stored(tmp_path, finished(num_seeds=40), batches=0)
    done = asked(str(tmp_path), "--rule", "thompson")
    assert done.exit_code == 1
    assert "cannot tell: the log holds fewer than two finished seeds" in done.output
    assert "evidence:" not in done.output
    assert json.loads(asked(str(tmp_path), "--rule", "thompson", "--json").output)["evidence"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (
            ["nowhere", "--rule", "uniform"],
            78,
            "nowhere: holds no run; name the folder that run.dir of the config names",
        ),
        (["{run}", "--rule", "paper", "--floor", "0.5"], 78, "--rule paper: a floor of 0.5 for each of 6 pairs"),
        (["{run}", "--rule", "paper", "--rate", "-1"], 78, "--rate"),
        (["{run}", "--rule", "divination"], 2, "'divination' is not one of"),
        (["{run}"], 2, "Missing option '--rule'"),
    ],
)
def test_questions_that_make_no_sense(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    why: str,
) -> None:
    """A line that names the folder or the option, and a documented exit code; no traceback."""
    monkeypatch.setattr(sys, "argv", ["star-agents", "replay", *(one.format(run=folder) for one in arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    told = capfd.readouterr().err
    assert why in told
    assert "Traceback" not in told
