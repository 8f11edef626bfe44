"""How many seeds a start takes in; whole runs under a ceiling are in tests/flow/test_budget.py."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from star_agents.core.records import Seed
from star_agents.service.run.intake import Intake, Outlook
from star_agents.storage.seeds import open_seeds
from star_agents.traffic.budget import Budget, Cost
from tests.loops import run_real

FREE = Outlook(budget=Budget(), worst=Cost(100), num_open=lambda: 0, num_finished=lambda: 0)


@dataclass
class Seeds:
    """What stands behind an `Outlook`: how many seeds are open and finished."""

    num_open: int = 0
    num_finished: int = 0

    def outlook(self, budget: Budget) -> Outlook:
        return Outlook(
            budget=budget,
            worst=Cost(100),
            num_open=lambda: self.num_open,
            num_finished=lambda: self.num_finished,
        )


def test_a_limit_counts_usable_rows(tmp_path: Path) -> None:
    """A start that may take one seed takes one, whatever rubbish stands before it, and the next goes on behind it."""
    file = tmp_path / "seeds.jsonl"
    rows = [{"output": "no instruction"}, {"instruction": "first"}, {}, {"instruction": "second"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def take(start: int) -> tuple[list[Seed], bool]:
        intake = Intake(await open_seeds(str(file), start=start), FREE, limit=1)
        return await intake.read(32) + await intake.read(32), intake.is_limited

    (first,), is_limited = run_real(take(0))
    assert (first.number, is_limited) == (1, True)
    (second,), is_limited = run_real(take(first.number + 1))
    assert (second.number, is_limited) == (3, False)


@pytest.mark.parametrize(
    ("seeds", "spent", "expected"),
    [(Seeds(), 0, 100), (Seeds(5, 0), 90, 100), (Seeds(0, 4), 90, 23), (Seeds(50, 1), 5000, 100)],
)
def test_a_seed_is_expected_to_cost_what_seeds_have_cost(seeds: Seeds, spent: int, expected: int) -> None:
    """The worst case before the first is finished; then the mean, rounded up, and never more than that."""
    assert seeds.outlook(Budget(tokens=10_000, spent=Cost(spent))).expected() == Cost(expected)


def test_the_first_seed_of_a_run_is_always_taken_in() -> None:
    """Under a ceiling below its worst case too: what a seed costs is known only after one. A second is not."""
    tight = Budget(tokens=50)
    assert Seeds().outlook(tight).affordable(32) == 1
    assert Seeds(num_open=1).outlook(tight).affordable(32) == 0
    assert Seeds(num_finished=1).outlook(Budget(tokens=50, spent=Cost(30))).affordable(32) == 0


def test_open_seeds_are_paid_for_first() -> None:
    """Room for ten, of which seven are open."""
    seeds = Seeds(num_open=7, num_finished=10)
    assert seeds.outlook(Budget(tokens=2000, spent=Cost(1000))).affordable(32) == 3
