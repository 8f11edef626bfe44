"""What a run would cost is counted from its seeds and its prompts, and the assumptions are plain arithmetic."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from star_agents.cli.main import app
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.estimate import ANSWER_TOKENS, LAZY, TOKENS_PER_S, VERDICT_TOKENS, Estimate, estimate
from star_agents.service.run.job import gather_inputs
from tests.loops import run_real
from tests.service.configs import SOUND

NUM_SEEDS = 1000
QUESTION, ANSWER = "q" * 80, "a" * 400
PER_SEED = {"rewrite": 1, "respond": 3, "judge": 4}
"""Any two of the three pairs need the one rewrite; a base and two answers; two verdicts, each in both orders."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A thousand seeds like each other."""
    monkeypatch.chdir(tmp_path)
    row = {"instruction": QUESTION, "input": "", "output": ANSWER}
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(NUM_SEEDS)))
    return tmp_path


def config(**changes: dict[str, Any]) -> dict[str, Any]:
    return {**SOUND, **{name: {**SOUND.get(name, {}), **change} for name, change in changes.items()}}


def at(**limits: object) -> dict[str, Any]:
    """The endpoint with a price or limits."""
    return {"local": {**SOUND["endpoints"]["local"], **limits}}


def estimated(settings: dict[str, Any], *, limit: int | None = None) -> Estimate:
    async def main() -> Estimate:
        sound = check(parse_yaml(yaml.safe_dump(settings), "run.yaml"))
        return await estimate(sound, await gather_inputs(sound, {}), limit=limit)

    return run_real(main())


@pytest.mark.usefixtures("folder")
def test_calls_and_tokens_are_those_of_the_seeds() -> None:
    """Every fifth seed is looked at, and stands for five; rewrites are as long as questions, answers as answers."""
    found = estimated(config())
    assert (found.seeds, found.sampled) == (NUM_SEEDS, 200)
    (local,) = found.endpoints
    assert local.calls == NUM_SEEDS * sum(PER_SEED.values())
    assert local.output_tokens == NUM_SEEDS * (20 + 3 * 100 + 4 * VERDICT_TOKENS["text"])
    texts = NUM_SEEDS * (20 + 3 * 20 + 4 * (2 * 100 + 20))
    assert texts < local.input_tokens < 3 * texts  # the texts, and the words of the templates around them
    assert (local.usd, local.at_most_usd) == (None, None)
    assert LAZY in found.assumed


@pytest.mark.usefixtures("folder")
def test_settings_change_the_calls() -> None:
    """Judging in one order halves the verdicts; unshared, each slot has a rewrite of its own; a limit cuts."""
    once = estimated(config(judge={"swap": False, "policy": "all"}))
    assert once.endpoints[0].calls == NUM_SEEDS * (1 + 3 + 2)
    assert LAZY not in once.assumed
    apart = estimated(config(sampling={"share_rewrites": False})).endpoints[0].calls / NUM_SEEDS
    assert apart == pytest.approx(3 + 4 + 2 * 2 / 3, abs=0.15)  # of two drawn pairs each rewrites with 2 in 3
    assert estimated(config(), limit=30).endpoints[0].calls == 30 * sum(PER_SEED.values())


@pytest.mark.usefixtures("folder")
def test_an_engine_that_is_not_named_is_told_as_assumed() -> None:
    """An engine of vLLM takes hundreds at once, `transformers serve` a few: hours differ by as much."""
    served: dict[str, Any] = {"kind": "local", "model": "m", "engine": "auto"}
    auto = estimated(config(endpoints={"local": served}))
    assert any(line.startswith("local is vLLM and takes ") for line in auto.assumed)
    named = estimated(config(endpoints={"local": {**served, "engine": "transformers"}}))
    assert not any(line.startswith("local is vLLM") for line in named.assumed)
    assert named.endpoints[0].hours > 10 * auto.endpoints[0].hours


@pytest.mark.usefixtures("folder")
def test_dollars_are_at_the_prices_of_the_config() -> None:
    """What is expected, and what it would be if every answer were full."""
    (local,) = estimated(config(endpoints=at(price={"input": 1.0, "output": 10.0}))).endpoints
    assert local.usd == pytest.approx((local.input_tokens + 10 * local.output_tokens) / 1e6)
    full = NUM_SEEDS * (4 * 512 + 4 * 256)
    assert local.at_most_usd == pytest.approx((local.input_tokens + 10 * full) / 1e6)


@pytest.mark.usefixtures("folder")
def test_the_time_is_that_of_the_tightest_limit() -> None:
    """Requests or tokens a minute, or else the calls at once, each at an assumed speed."""
    free = estimated(config(endpoints=at(concurrency=10))).endpoints[0]
    assert free.bound_by == "concurrency"
    assert free.hours == pytest.approx(free.output_tokens / TOKENS_PER_S / 10 / 3600)
    paced = estimated(config(endpoints=at(concurrency=10, requests_per_minute=10))).endpoints[0]
    assert paced.bound_by == "requests_per_minute"
    assert paced.hours == pytest.approx(8 * NUM_SEEDS / 10 / 60)
    metered = estimated(config(endpoints=at(requests_per_minute=10_000, input_tokens_per_minute=100))).endpoints[0]
    assert metered.bound_by == "input_tokens_per_minute"
    assert metered.hours == pytest.approx(metered.input_tokens / 100 / 60)


def test_seeds_without_an_answer_are_given_one(folder: Path) -> None:
    """Of a usual length, and never more than its limit."""
    (folder / "seeds.jsonl").write_text(json.dumps({"instruction": QUESTION, "input": "", "output": ""}) + "\n")
    (local,) = estimated(config()).endpoints
    assert local.output_tokens == 20 + 3 * ANSWER_TOKENS + 4 * VERDICT_TOKENS["text"]


def test_a_dry_run_writes_nothing_and_says_whether_the_budget_lasts(folder: Path) -> None:
    """On the command line: the table, the sum, the assumptions."""
    settings = config(endpoints=at(price={"input": 1.0, "output": 10.0}), budget={"usd": 1.0})
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    before = sorted(folder.iterdir())
    done = CliRunner().invoke(app, ["serve-run", "run.yaml", "--dry-run"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "1000 seeds; 200 of them were looked at. Nothing was sent or written." in done.output
    (local,) = estimated(settings).endpoints
    assert local.usd is not None
    assert f"${local.usd:,.2f}" in done.output
    assert f"lasts for about {int(NUM_SEEDS / local.usd)} seeds" in done.output
    assert "assumed: 4 characters are a token" in done.output
    assert sorted(folder.iterdir()) == before
