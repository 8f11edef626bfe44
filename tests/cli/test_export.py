"""`star-agents export` as a person types it: filters, halves, and what cannot be."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from star_agents.cli.main import app
from star_agents.core.errors import ConfigError, SeedError
from star_agents.storage.folder import RunFolder
from tests.loops import run_real
from tests.scoring.tiny import save_tiny_embedder
from tests.storage.contests import Answer, contest, write_run
from tests.storage.examples import MANIFEST
from tests.storage.fake_hub import fake_hub

TWIN = "Explain in plain words how a steam engine turns the heat of burning coal into motion, for a child of ten."
QUESTIONS = (TWIN, TWIN, "Why is the sky blue?", "Name three birds that cannot fly, and say where they live.")
ANSWERS = (Answer(text="good", pi=0.9), Answer(text="poor", pi=0.1))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Four seeds, of which two ask the same; the run's embedder is a random one."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    config = {"run": {"name": "tiny"}, "memory": {"embedder": save_tiny_embedder(tmp_path / "embedder")}}
    seeds = [contest(n, ANSWERS, text=text) for n, text in enumerate(QUESTIONS)]
    run_real(write_run(folder.database, seeds, manifest=replace(MANIFEST, config=orjson.dumps(config).decode())))
    return folder


def invoke(run: RunFolder, *options: str) -> Result:
    return CliRunner().invoke(app, ["export", str(run.path), *options], env={"COLUMNS": "160"})


def seeds_in(file: Path) -> list[int]:
    return [json.loads(line)["metadata"]["seed"] for line in file.read_text().splitlines()]


def test_filters_and_halves_are_told(run: RunFolder, tmp_path: Path) -> None:
    """How many rows are in each half, and how many seeds left none for which reason."""
    benchmark = tmp_path / "bench.txt"
    benchmark.write_text(f"2 + 2?\n{QUESTIONS[3]}\n")
    done = invoke(
        run, "--dedup", "minhash", "--decontaminate", str(benchmark), "--test-share", "0.5", "--license", "mit"
    )
    assert done.exit_code == 0, done.output
    assert f"{benchmark}: 2 questions, 1 too short to look for" in done.output
    assert "2 seeds dropped" in done.output
    assert "1 export.duplicate" in done.output
    assert "1 export.contaminated" in done.output
    out = run.out / "messages"
    assert sorted(seeds_in(out / "train.jsonl") + seeds_in(out / "test.jsonl")) == [0, 2]
    assert "license: mit" in (out / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_questions_are_compared_by_the_runs_own_embedder(run: RunFolder) -> None:
    """A process of its own loads it; the twin, which has the same words for it, is left out."""
    done = invoke(run, "--dedup", "embedding", "--similarity", "0.999")
    assert done.exit_code == 0, done.output
    assert "1 export.duplicate" in done.output
    assert seeds_in(run.out / "messages" / "train.jsonl") == [0, 2, 3]


def test_pairs_have_a_margin(run: RunFolder) -> None:
    """0.9 against 0.1: a pair at 0.8, none above."""
    assert "4 rows" in invoke(run, "--format", "dpo", "--margin", "0.75").output
    assert "0 rows" in invoke(run, "--format", "dpo", "--margin", "0.85").output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--margin", "0.5"), "--format dpo"),
        (("--similarity", "0.5"), "--dedup"),
        (("--public",), "--push"),
        (("--license", "my: own"), "SPDX"),
    ],
)
def test_options_without_their_fellows_are_refused(run: RunFolder, options: tuple[str, ...], told: str) -> None:
    """Before anything is written."""
    done = invoke(run, *options)
    assert done.exit_code == 2
    assert told in done.output
    assert not run.out.exists()


def test_a_wrong_name_or_file_costs_nothing(run: RunFolder, tmp_path: Path) -> None:
    """The export does not begin."""
    for options, kind in (
        (("--push", "tiny"), ConfigError),
        (("--decontaminate", str(tmp_path / "no.txt")), SeedError),
    ):
        assert isinstance(invoke(run, *options).exception, kind)
    assert not run.out.exists()


def test_a_run_without_an_embedder_says_what_to_use_instead(tmp_path: Path) -> None:
    """Nothing is loaded for it."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    run_real(write_run(folder.database, [contest(0, ANSWERS)]))
    done = invoke(folder, "--dedup", "embedding")
    assert isinstance(done.exception, ConfigError)
    assert "--dedup minhash" in str(done.exception)


@pytest.mark.slow
def test_a_push_ends_at_the_hub(run: RunFolder) -> None:
    """The whole way, as a process of its own; the address is the library's own setting."""
    with fake_hub() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_made_up"}
        command = [sys.executable, "-m", "star_agents", "export", str(run.path), "--push", "org/tiny"]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"pushed: {hub.url}/datasets/org/tiny" in done.stdout
    assert hub.files.keys() == {"README.md", "train.jsonl", "dropped.jsonl"}
    assert hub.tokens == {"Bearer hf_made_up"}
