"""The pool of a real run is changed while it runs, over its socket, and every later start knows it."""

import json
import subprocess
from collections import Counter
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from star_agents.core.records import AgentPair
from star_agents.policy import epochs
from star_agents.policy.credits import credits
from star_agents.policy.weights import uniform
from star_agents.service import replay
from star_agents.service.config import learning
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import read_standing
from star_agents.storage.rows import iter_rows
from tests.process.harness import NUM_SEEDS, PATIENCE_S, Run, mock_endpoint, tiny_models, wait_for
from tests.process.test_signals import star_agents

pytestmark = pytest.mark.timeout(300)

SLOW_MS = "250"
"""Slow enough that a run outlasts the commands that are given to it, on a busy machine too."""

POOL = [["keep", "free"], ["keep", "reviser"], ["deepen", "careful"], ["rephrase", "free"], ["rephrase", "reviser"]]
RETIRED = AgentPair("rephrase", "free")


def told(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = star_agents(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def status(run: Run) -> dict[str, Any]:
    return dict(json.loads(told("status", str(run.run_dir), "--json").stdout))


def running(run: Run, calls: int) -> "subprocess.Popen[str]":
    """Start the run and wait for so many calls of this start, so that it is in the middle of its work."""
    before = run.endpoint.sends().total()
    process = run.start()
    wait_for(
        lambda: process.poll() is not None or run.endpoint.sends().total() >= before + calls, f"calls: {run.output()}"
    )
    assert process.poll() is None, run.output()
    return process


def folded(run: Run) -> bool:
    """Whether the stored weights are the fold of the log with its changes, bit for bit."""
    database = RunFolder(run.run_dir).database
    standing = read_standing(database)
    settings, begun = replay.recorded_settings(standing.manifest.config), standing.manifest.pairs
    steps: dict[int, epochs.Step] = {epoch.version: epoch for epoch in standing.epochs}
    for version, rows in groupby(iter_rows(database, order="commit"), attrgetter("version")):
        steps[version] = credits([row.graded for row in rows], learning.crediting_of(settings))
    rule = learning.rule_of(settings, num_pairs=len(begun), num_seeds=NUM_SEEDS)
    return epochs.fold(uniform(begun), [steps[version] for version in sorted(steps)], rule) == standing.weights


def drawn_after(run: Run, version: int) -> Counter[AgentPair]:
    """How often each pair was drawn by plans made from that version of the weights on."""
    plans = (row.graded.settled.plan for row in iter_rows(RunFolder(run.run_dir).database))
    return Counter(
        slot.pair for plan in plans if plan.weights_version >= version for slot in plan.slots if not slot.is_base
    )


def test_a_change_outlives_a_kill(tmp_path: Path) -> None:
    """Added and retired over the command line, killed at once, resumed with the old config: all goes on changed."""
    with mock_endpoint(tmp_path, "--latency-ms", SLOW_MS) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"sampling": {"max_in_flight": 4}})
        process = running(run, 12)
        retired = told("agents", "retire", str(run.run_dir), "rephrase+free", "--reason", "it repeats itself")
        assert "retired rephrase+free: it repeats itself" in retired.stdout
        hot = ("response:hot", "--endpoint", "smol", "--prompt", "answer", "--temperature", "1.3")
        added = told("agents", "add", str(run.run_dir), *hot, "--reason", "a wilder one")
        assert "added keep+hot, deepen+hot, rephrase+hot: a wilder one" in added.stdout
        weights = {pair["pair"]: pair["p"] for pair in status(run)["pairs"]}
        assert weights["rephrase+free"] is None
        assert weights["keep+hot"] > 0
        process.kill()
        process.wait()

        resting = told("status", str(run.run_dir)).stdout
        assert "retired rephrase+free: it repeats itself" in resting
        run.finish()
        assert "goes on with the pool of version" in run.output()
        finished = status(run)
        assert [change["reason"] for change in finished["changes"]] == ["it repeats itself", "a wilder one"]
    last = read_standing(RunFolder(run.run_dir).database).epochs[-1].version
    drawn = drawn_after(run, last)
    assert drawn[RETIRED] == 0
    assert sum(count for pair, count in drawn.items() if pair.response == "hot") > 0
    assert len(run.rows()) + len(run.dropped()) == NUM_SEEDS
    assert folded(run)


@pytest.mark.slow
def test_a_config_edited_to_match_is_taken_and_another_is_not(tmp_path: Path) -> None:
    """After a change the next start takes the old file or a matching one, without the agent that left; no other."""
    with mock_endpoint(tmp_path, "--latency-ms", SLOW_MS) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"sampling": {"max_in_flight": 4}})
        process = running(run, 12)
        told("agents", "retire", str(run.run_dir), "reviser")
        told("drain", str(run.run_dir))
        assert process.wait(PATIENCE_S) == 0, run.output()

        run.changes["pairs"] = {"pool": [POOL[0], POOL[2], POOL[4]]}
        refused = star_agents("serve-run", str(run.config()), "--resume")
        assert refused.returncode == 78
        assert "pairs.pool: is neither the pool this run was begun with nor the one it has" in refused.stderr
        assert "it lacks rephrase+free and has rephrase+reviser besides; restore it" in refused.stderr
        agents = yaml.safe_load(run.config().read_text())["agents"]
        del agents["response"]["reviser"]
        run.changes |= {"agents": agents, "pairs": {"pool": [pair for pair in POOL if pair[1] != "reviser"]}}
        run.finish()
        run.changes = {"sampling": {"max_in_flight": 4}}
        run.finish()
    assert len(run.rows()) + len(run.dropped()) == NUM_SEEDS
    assert folded(run)


@pytest.mark.slow
def test_what_cannot_be_changed_is_named_with_its_mend(tmp_path: Path) -> None:
    """Unknown names, base pairs, pairs twice: every problem at once, code 78; a run that rests says so, code 69."""
    with mock_endpoint(tmp_path, "--latency-ms", "20") as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"service": {"keep_alive": True}})
        process = running(run, 8)
        wrong = star_agents("agents", "add", str(run.run_dir), "keep+fre", "keep+careful", "keep+free")
        assert wrong.returncode == 78
        assert "add keep+fre: no response agent fre; did you mean `free`?" in wrong.stderr
        refused = star_agents("agents", "add", str(run.run_dir), "keep+careful", "keep+free")
        assert refused.stderr.splitlines() == [
            "star-agents: pair keep+free is in the pool already",
            "star-agents: pair keep+careful is a base pair, which is always asked",
        ]
        too_many = star_agents("agents", "retire", str(run.run_dir), "rephrase", "reviser")
        assert "sampling.pairs_per_seed: 3 without replacement from a pool of 2" in too_many.stderr
        nowhere = star_agents("agents", "add", str(run.run_dir), "response:hot", "--endpoint", "gpt", "--prompt", "x")
        assert "agents.response.hot.endpoint: no endpoint gpt; there are: smol" in nowhere.stderr
        assert "agents.response.hot.prompt: no prompt x; there are: answer, improve" in nowhere.stderr
        assert not status(run)["changes"]
        assert told("drain", str(run.run_dir)).stdout.strip() == "draining"
        assert process.wait(PATIENCE_S) == 0
        late = star_agents("agents", "retire", str(run.run_dir), "keep+free")
        assert late.returncode == 69
        assert "no service is running for this run" in late.stderr
