"""The Python interface does what the commands do, and leaves the process that it runs in alone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import star_agents
from star_agents.interface import settings_of
from star_agents.service.view.status import Ending, RunStatus
from tests.process.harness import PATIENCE_S, ROOT, Run, mock_endpoint, tiny_models

pytestmark = pytest.mark.timeout(300)

NUM_SEEDS = 6


def config_of(run: Run) -> dict[str, Any]:
    """The config of a run of a few seeds, as a dict."""
    loaded: dict[str, Any] = yaml.safe_load(run.config().read_text())
    loaded["seeds"]["limit"] = NUM_SEEDS
    return loaded


def test_importing_it_costs_next_to_nothing() -> None:
    """`import star_agents` loads nothing else of the package and no library; each public name is there all the same."""
    script = (
        "import sys; before = set(sys.modules); import star_agents; new = set(sys.modules) - before; "
        "heavy = [name for name in new if name.split('.')[0] in "
        "{'pydantic', 'torch', 'aiohttp', 'typer', 'rich', 'numpy', 'pyarrow', 'asyncio', 'yaml'} "
        "or name.startswith('star_agents.')]; "
        "print(heavy, all(callable(getattr(star_agents, name)) for name in star_agents.__all__ if name[0] != '_'), "
        "'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[] True False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        getattr(star_agents, "walk")  # noqa: B009  # a type checker would refuse the plain form


def test_settings_come_from_any_form(tmp_path: Path) -> None:
    """A path, a dict and settings are the same; mistakes in a dict have their places, every one at once."""
    path = ROOT / "configs" / "paper.yaml"
    settings = settings_of(path)
    assert settings_of(str(path)) == settings
    assert settings_of(yaml.safe_load(path.read_text())) == settings
    assert settings_of(settings) == settings
    broken = yaml.safe_load(path.read_text())
    broken["judge"]["endpoint"], broken["output"] = "nowhere", {"format": "parchment"}
    with pytest.raises(star_agents.ConfigError) as told:
        settings_of(broken)
    assert any("judge.endpoint" in problem for problem in told.value.problems)
    assert any("output.format" in problem for problem in told.value.problems)


def test_run_refuses_a_loop_that_runs() -> None:
    """In a notebook it says what to write instead."""

    async def cell() -> None:
        star_agents.run({})

    with pytest.raises(RuntimeError, match=r"await star_agents\.arun"):
        asyncio.run(cell())


def test_options_of_a_score_that_do_not_go_together(tmp_path: Path) -> None:
    """Are refused before a model is loaded."""
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "a", "output": "b"}\n')
    for options in (
        star_agents.ScoreOptions(select="ifd"),
        star_agents.ScoreOptions(top=5),
        star_agents.ScoreOptions(select="dual", top=5),
        star_agents.ScoreOptions(select="ifd", top="many"),
        star_agents.ScoreOptions(min_tokens=5),
        star_agents.ScoreOptions(settings={"colour": "red"}),
    ):
        with pytest.raises(star_agents.ConfigError):
            star_agents.score(data, str(tmp_path), options=options)


@pytest.mark.slow
def test_a_run_from_python(tmp_path: Path) -> None:
    """Watched, finished, rows iterated and streamed; interrupted it goes on with `resume`; signals are left alone."""
    before = signal.getsignal(signal.SIGTERM)
    seen = list[RunStatus]()
    with mock_endpoint(tmp_path, "--latency-ms", "400") as endpoint:
        config = config_of(Run(tmp_path, endpoint, tiny_models(tmp_path)))

        def interrupt(status: RunStatus) -> None:
            if status.phase == "running":
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            star_agents.run(config, star_agents.RunOptions(watch=interrupt))
        result = star_agents.run(config, star_agents.RunOptions(watch=seen.append, resume=True))
    assert (result.ending, result.status.seeds_done) == (Ending.COMPLETE, NUM_SEEDS)
    assert seen
    rows = list(result)
    assert len(rows) == result.num_rows == len(list(star_agents.stream_rows(result.folder)))
    assert all(row["messages"] for row in rows)
    assert result.data_file is not None
    assert len(result.data_file.read_text().splitlines()) == result.num_rows
    assert result.bill is not None
    assert result.bill.total.calls > 0
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(star_agents.StarError):
        star_agents.run(config)


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    """Every cell of docs/examples/improve.py, against the mock server, and again over what it left."""
    with mock_endpoint(tmp_path) as endpoint:
        models = tiny_models(tmp_path)
        environ = {
            **os.environ,
            "SERVER": endpoint.base_url,
            "MODEL": "m",
            "SMALL": models["small"],
            "LARGE": models["large"],
            "FOLDER": str(tmp_path / "improve"),
        }
        outputs = list[str]()
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "docs/examples/improve.py"],
                cwd=ROOT,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, done.stderr
            assert "judge.endpoint" in done.stdout
            assert "complete: " in done.stdout
            outputs.append(done.stdout)
    scores = (tmp_path / "improve" / "scores.jsonl").read_text().splitlines()
    assert f"complete: {len(scores)} rows" in outputs[-1]
    assert json.loads(scores[0])["small"]["status"]
