"""A run as a process of its own, killed and gone on with: reported on and exported at each stop."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.harness import ROOT, Run, mock_endpoint, tiny_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "star_agents", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_a_killed_run_and_a_finished_one(tmp_path: Path) -> None:
    """The one says that it has not ended; both are loaded again by whoever reads them."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path))
        run.kill_after(40)
        command("report", str(run.run_dir))
        page = run.run_dir / "out" / "report.html"
        assert "This run has not ended" in page.read_text()
        run.finish()
    told = command("report", str(run.run_dir))
    assert "24 seeds" in told
    text = page.read_text()
    assert "This run has not ended" not in text
    assert "<svg" in text
    for row_format in ("alpaca", "datasets", "dpo"):
        assert "seeds dropped" in command(
            "export", str(run.run_dir), "--format", row_format, "--test-share", "0.3", "--dedup", "minhash"
        )
        assert (run.run_dir / "out" / row_format / "README.md").exists()
