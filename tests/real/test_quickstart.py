"""The README's first command on a few seeds: real models, a real server of ours, and a data set that trainers load."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from star_agents.endpoints.servers.orphans import find
from star_agents.storage.recovery import read_standing
from tests.process.harness import recorded, wait_for

ROOT = Path(__file__).parents[2]
NUM_SEEDS = 6

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def quickstart(folder: Path, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the quickstart on its first seeds, and return the rows of its data set."""
    config = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    config["run"]["dir"] = str(folder / "run")
    config["endpoints"]["smol"] |= endpoint
    file = folder / "quickstart.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "star_agents", "serve-run", str(file), "--limit", str(NUM_SEEDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "p after" in done.stdout
    data = folder / "run" / "out" / "messages" / "train.jsonl"
    loaded = datasets.load_dataset("json", data_files=str(data), cache_dir=str(folder / "cache"))["train"]
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    assert loaded["messages"][:] == [row["messages"] for row in rows]
    return rows


def test_on_transformers_serve(tmp_path: Path) -> None:
    """The embedded default: `transformers serve`, started and ended by us."""
    rows = quickstart(tmp_path, {"engine": "transformers"})
    assert {row["metadata"]["seed"] for row in rows} <= set(range(NUM_SEEDS))
    assert len(rows) >= NUM_SEEDS - 1
    assert {row["metadata"]["response_model"] for row in rows} <= {"smollm2-135m", ""}


@pytest.mark.fault("F-47")
def test_a_server_that_dies_costs_time_and_no_seed(tmp_path: Path) -> None:
    """Killed in mid-run it is started anew, the calls wait for it, and the run ends as if nothing had been."""
    config = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    config["run"]["dir"] = str(tmp_path / "run")
    config["endpoints"]["smol"]["engine"] = "transformers"
    file = tmp_path / "quickstart.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "star_agents", "serve-run", str(file), "--limit", "3"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: recorded(tmp_path / "run") > 0, "the first reply")
        servers = find(tmp_path / "run")
        for process in servers:
            os.kill(process.pid, signal.SIGKILL)
        _, said = run.communicate(timeout=400)
    assert servers
    assert run.returncode == 0, said
    assert "model server smol: " in said
    assert "once more in" in said
    assert "Traceback" not in said
    assert read_standing(tmp_path / "run" / "run.db").finished == 3


@pytest.mark.real_vllm
@pytest.mark.skipif("STAR_AGENTS_VLLM_PYTHON" not in os.environ, reason="STAR_AGENTS_VLLM_PYTHON names no interpreter")
def test_on_vllm(tmp_path: Path) -> None:
    """The same on vLLM, from a venv of its own."""
    rows = quickstart(tmp_path, {"engine": "vllm", "python": os.environ["STAR_AGENTS_VLLM_PYTHON"]})
    assert len(rows) >= NUM_SEEDS - 1
