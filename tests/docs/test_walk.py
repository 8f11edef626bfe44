"""A newcomer's walk: every command of the quickstart, in its order, as it stands on the page.

The config has the name and the folder of the real one; a mock server answers, and tiny models score.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, commands
from tests.process.harness import Run, mock_endpoint, tiny_models

PATIENCE_S = 200


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quickstart_is_walked(tmp_path: Path) -> None:
    """Each command ends well, and what the page promises is there: a data set, two exports and a report."""
    walk = [command for command in commands(ROOT / "docs" / "quickstart.md") if command.is_whole]
    ours = [list(command.words[1:]) for command in walk if command.words[0] == "star-agents"]
    ours = [words for words in ours if words[0] != "page"]  # serves until Ctrl-C; tests/web has it
    assert {words[0] for words in ours} >= {"validate", "serve-run", "status", "export", "report", "simulate"}
    with mock_endpoint(tmp_path) as endpoint:
        config = yaml.safe_load(Run(tmp_path, endpoint, tiny_models(tmp_path)).config().read_text())
        config["run"]["dir"] = "runs/quickstart"
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "quickstart.yaml").write_text(yaml.safe_dump(config))
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "CI": "true"}
        for words in ours:
            done = subprocess.run(
                [sys.executable, "-m", "star_agents", *words],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    out = tmp_path / "runs" / "quickstart" / "out"
    for file in ("messages/train.jsonl", "sharegpt/train.json", "alpaca/train.json", "report.html"):
        assert (out / file).stat().st_size > 0, file
