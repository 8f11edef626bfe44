"""Calls that failed for good: each is a line with its reason, and a table says how many there are of a kind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.calls import Purpose, Usage
from star_agents.storage import dead_letters
from star_agents.storage.dead_letters import FailureKind, failure_kinds, iter_dead_letters
from star_agents.storage.export import export_dead_letters
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, failure, plan

REFUSED = replace(failure(1), reason="bad_request", message="this prompt is refused", attempts=1)


def run_with_failures(folder: Path, num_seeds: int) -> Path:
    """A run of which every seed has an answer and a timeout, and the last a refused judge as well."""
    path = folder / "run.db"

    async def main() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            for number in range(num_seeds):
                await store.assign(plan(number))
                await store.respond(asked(number, 1), completion("answer"))
                await store.respond(asked(number, 2), replace(failure(2), wasted=Usage(30, 40)))
            refused = replace(REFUSED, purpose=Purpose.JUDGE, endpoint="judge")
            await store.respond(asked(num_seeds - 1, 1, Purpose.JUDGE), refused)

    run_real(main())
    return path


@pytest.mark.fault("F-24")
def test_each_failed_call_is_a_line(tmp_path: Path) -> None:
    """Who asked whom for what, why it came to nothing, and what it cost; the run may still be going on."""
    count = export_dead_letters(run_with_failures(tmp_path, 1), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "dead-letters.jsonl").read_text().splitlines()]
    assert count == len(lines) == 2
    assert lines[1] == {
        "seed": 0,
        "purpose": "respond",
        "slot": 2,
        "ordinal": 0,
        "pair": "broaden+weak",
        "agent": "weak",
        "endpoint": "gpt",
        "reason": "timeout",
        "message": "no answer in 600 s",
        "attempts": 4,
        "wasted_input": 30,
        "wasted_output": 40,
        "instruction": "Do thing 0.",
    }
    assert (lines[0]["purpose"], lines[0]["agent"], lines[0]["reason"]) == ("judge", "judge", "bad_request")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["dead-letters.jsonl"]


def test_letters_come_in_pages_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost or doubled where a page ends."""
    monkeypatch.setattr(dead_letters, "PAGE_ROWS", 3)
    letters = list(iter_dead_letters(run_with_failures(tmp_path, 10)))
    assert [letter.seed for letter in letters] == [*range(10), 9]
    assert [letter.purpose for letter in letters[-2:]] == ["judge", "respond"]


def test_kinds_are_counted_the_most_frequent_first(tmp_path: Path) -> None:
    """By endpoint and reason, each with the newest message."""
    assert failure_kinds(run_with_failures(tmp_path, 3)) == (
        FailureKind("gpt", "timeout", 3, "no answer in 600 s"),
        FailureKind("judge", "bad_request", 1, "this prompt is refused"),
    )


def test_a_run_without_failures_has_no_letters(tmp_path: Path) -> None:
    """The file is there and empty, so that nobody has to guess."""

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            await store.assign(plan(0))

    run_real(main())
    assert export_dead_letters(tmp_path / "run.db", tmp_path / "out") == 0
    assert (tmp_path / "out" / "dead-letters.jsonl").read_bytes() == b""
