"""What a person does to a run: stops it once, stops it twice, starts it twice, looks at it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from star_agents.service.run.ended import read_ended
from star_agents.service.view.status import Ending
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import read_spend
from tests.process.harness import NUM_SEEDS, PATIENCE_S, ROOT, Run, mock_endpoint, tiny_models, wait_for

pytestmark = pytest.mark.timeout(300)


def star_agents(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "star_agents", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.mark.fault("F-65")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0, what was planned is learnt and exported, and the rest is done by the next start."""
    with mock_endpoint(tmp_path, "--latency-ms", "300") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"sampling": {"max_in_flight": 4}})
        process = run.start()
        wait_for(lambda: endpoint.sends().total() > 8, "eight calls")
        told = json.loads(star_agents("status", str(run.run_dir), "--json").stdout)
        assert told["phase"] in {"running", "draining"}
        assert told["seeds_in_flight"] <= 4
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0, run.output()
        assert "stopped on request" in run.output()
        done = len(run.rows()) + len(run.dropped())
        assert 0 < done < NUM_SEEDS
        resting = star_agents("status", str(run.run_dir))
        assert f"not running, {done} seeds done" in resting.stdout
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == NUM_SEEDS
    assert max(endpoint.sends().values()) == 1


@pytest.mark.fault("F-65")
def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Exit code 130, nothing waited for, and the next start finishes the run."""
    with mock_endpoint(tmp_path, "--latency-ms", "2000") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 6}})
        process = run.start()
        wait_for(lambda: endpoint.sends().total() >= 1, "the first call")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "once more leaves at once" in run.output(), "the first signal's answer")
        process.send_signal(signal.SIGINT)
        assert process.wait(2.0) == 130, run.output()
        assert "Traceback" not in run.output()
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == 6


@pytest.mark.fault("F-65")
def test_a_stop_while_starting_is_clean(tmp_path: Path) -> None:
    """A signal before anything is planned ends the start with code 0 and leaves no process behind."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path))
        process = run.start()
        wait_for(lambda: "starting the scorers" in run.output(), "the start of the scorers")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30.0) == 0, run.output()
        assert endpoint.sends().total() == 0
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == NUM_SEEDS


def test_a_finished_run_is_not_begun_again(tmp_path: Path) -> None:
    """Without --resume it is refused with code 73; with it, nothing is asked again and the data set is the same."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 5}})
        run.finish()
        rows, calls = run.rows(), endpoint.sends()
        refused = star_agents("serve-run", str(run.config()))
        assert refused.returncode == 73
        assert "5 of 5 seeds done): add --resume" in refused.stderr
        assert read_ended(run.run_dir) is Ending.COMPLETE  # whoever follows the rows still learns that they are all
        run.finish()
    assert (run.rows(), endpoint.sends()) == (rows, calls)
    changed = Run(tmp_path, endpoint, run.models, {"seeds": {"limit": 5}, "evolution": {"rate": 0.5}}, starts=1)
    refused = star_agents("serve-run", str(changed.config()), "--resume")
    assert refused.returncode == 78
    assert 'evolution.rate: was "auto", is 0.5' in refused.stderr
    assert read_ended(run.run_dir) is Ending.COMPLETE


def test_a_start_that_failed_is_no_run(tmp_path: Path) -> None:
    """After a start that came to nothing the mended config starts without --resume, whatever was mended."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 3}})
        config = run.config()
        config.write_text(config.read_text().replace("model: m\n", "model: n\n"))
        refused = star_agents("serve-run", str(config))
        assert refused.returncode == 78
        assert "no model n; it serves m" in refused.stderr
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == 3


def test_limit_ends_a_start_and_not_the_run(tmp_path: Path) -> None:
    """`--limit` plans so many seeds; the next start goes on behind them."""
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": 9}})
        process = run.start("--limit", "4")
        assert process.wait(PATIENCE_S) == 0, run.output()
        assert "limit reached" in run.output()
        assert len(run.rows()) + len(run.dropped()) == 4
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == 9


def test_a_spent_budget_ends_with_its_code(tmp_path: Path) -> None:
    """Code 75 before the budget is passed, with the mend; a higher one lets the run go on."""
    with mock_endpoint(tmp_path, "--latency-ms", "50") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"sampling": {"max_in_flight": 2}})
        run.changes["budget"] = {"tokens": 2000}
        process = run.start()
        assert process.wait(PATIENCE_S) == 75, run.output()
        assert "raise budget.tokens and go on with --resume" in run.output()
        assert 0 < sum(spend.tokens for spend in read_spend(RunFolder(run.run_dir).database).values()) <= 2000
        run.changes["budget"] = {"tokens": 100_000_000}
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == NUM_SEEDS
