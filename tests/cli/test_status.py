"""`status` and `export` of a run that is not running: what it has cost, and what has failed."""

import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from star_agents.cli.main import app
from star_agents.core.calls import Usage
from star_agents.storage.folder import RunFolder
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan, update

CONFIG = {"run": {"name": "tiny"}, "endpoints": {"gpt": {"price": {"input": 1e5, "output": 0.0, "cached_input": None}}}}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with an answer (7 tokens in, 11 out), a failure that wasted 3, and a judge without a price."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()

    async def main() -> None:
        async with await RunStore.open(run.database, replace(MANIFEST, config=orjson.dumps(CONFIG).decode())) as store:
            await store.assign(plan(0))
            await store.respond(asked(0, 1), completion("answer"))
            await store.respond(asked(0, 2), replace(failure(2), wasted=Usage(3, 0)))
            await store.respond(asked(0, 0), completion("A", endpoint="judge"))
            await store.learn(update(1, 0))

    run_real(main())
    return run


def told(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return done.output


def test_status_shows_what_a_run_has_cost(folder: RunFolder) -> None:
    """By endpoint, agent and pair; dollars are at least those of the endpoint that has a price."""
    text = told("status", str(folder.path))
    assert "spent: 39 tokens, at least $1.00, 3 wasted" in text
    rows = [line.split() for line in text.splitlines()]
    assert any("judge" in row and "unknown" in row for row in rows)
    assert any("deepen+weak" in row and "$0.70" in row for row in rows)


def test_status_as_json_holds_the_bill(folder: RunFolder) -> None:
    """The same figures for programs; unknown dollars are null."""
    bill = json.loads(told("status", str(folder.path), "--json"))["bill"]
    assert bill["total"]["usd"] == 1.0
    assert bill["total"]["is_at_least"] is True
    assert {line["name"]: line["usd"] for line in bill["endpoints"]} == {"gpt": 1.0, "judge": None}


@pytest.mark.fault("F-24")
def test_failures_are_shown_by_endpoint_and_reason(folder: RunFolder) -> None:
    """With the newest message of each kind, as a table and as JSON."""
    text = told("status", str(folder.path), "--failures")
    assert "timeout" in text
    assert "no answer in 600 s" in text
    assert json.loads(told("status", str(folder.path), "--failures", "--json")) == [
        {"endpoint": "gpt", "reason": "timeout", "calls": 1, "message": "no answer in 600 s"}
    ]


def test_export_writes_the_calls_that_failed(folder: RunFolder) -> None:
    """Beside the data set's folder, and it says how many there are."""
    text = told("export", str(folder.path))
    assert "1 calls that failed for good" in text
    (line,) = (folder.out / "dead-letters.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "timeout"
