"""SIGKILL at any moment: what was acknowledged is there, nothing is there twice, the weights are the fold."""

import random
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import Recovered, recover
from star_agents.storage.rows import FinishedRow, iter_rows
from tests.storage.crash_child import NUM_WORKERS, START, fold

NUM_SEEDS = 100_000


def start(folder: RunFolder, num_seeds: int) -> subprocess.Popen[str]:
    """A child that runs on from what the folder holds."""
    command = [sys.executable, "-m", "tests.storage.crash_child", str(folder.path), str(num_seeds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_after(folder: RunFolder, num_lines: int) -> list[list[str]]:
    """What a child told until it was killed, which was once it had told so many lines."""
    with start(folder, NUM_SEEDS) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().split() for _ in range(num_lines)]
        child.kill()
        rest = child.stdout.read().splitlines()
    return told + [line.split() for line in rest]


class Acknowledged:
    """Everything any child has been told is durable."""

    def __init__(self) -> None:
        self.plans: set[int] = set()
        self.replies: set[tuple[int, int]] = set()
        self.learnt: set[int] = set()
        self.version = 0

    def add(self, told: list[list[str]]) -> None:
        for what, *numbers in told:
            match what, [int(number) for number in numbers]:
                case "assign", [number]:
                    self.plans.add(number)
                case "respond", [number, slot]:
                    self.replies.add((number, slot))
                case "learn", [version, *batch]:
                    self.version = version
                    self.learnt.update(batch)

    def check(self, folder: RunFolder) -> Recovered:
        """Compare with the disk, before anything has been started on it again."""
        found = recover(folder.database, capacity=10)
        rows = list(iter_rows(folder.database, order="commit"))
        finished = {row.graded.settled.plan.seed.number for row in rows}
        still_open = {plan.seed.number for plan in found.open_plans}
        replied = {(key.seed, key.slot) for key in found.replies}
        assert len(finished) == len(rows)
        assert self.learnt <= finished
        assert not still_open & finished
        assert still_open | finished == set(range(found.standing.next_seed))
        assert self.plans <= still_open | finished
        assert all(number in finished for number, _ in self.replies - replied)
        self._check_fold(found, rows)
        return found

    def _check_fold(self, found: Recovered, rows: list[FinishedRow]) -> None:
        weights = START
        for _, batch in groupby(rows, key=lambda row: row.batch):
            weights = fold(weights, [row.graded for row in batch])
        assert (found.standing.weights or START) == weights
        assert weights.version >= self.version


def check_kills(folder: RunFolder, num_kills: int) -> None:
    chance = random.Random(num_kills)
    acknowledged = Acknowledged()
    found = None
    for _ in range(num_kills):
        acknowledged.add(killed_after(folder, chance.randint(1, 400)))
        found = acknowledged.check(folder)
        assert len(found.open_plans) <= 2 * NUM_WORKERS
    assert found is not None
    with start(folder, found.standing.next_seed) as child:
        assert child.stdout is not None
        acknowledged.add([line.split() for line in child.stdout])
    assert child.returncode == 0
    found = acknowledged.check(folder)
    assert not found.open_plans
    assert found.standing.finished == found.standing.next_seed


@pytest.mark.fault("F-64")
def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    """Twenty times in one run folder, each checked before the next start; then the run is finished."""
    check_kills(RunFolder(tmp_path / "run"), 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    """The same, five times as often."""
    check_kills(RunFolder(tmp_path / "run"), 100)
