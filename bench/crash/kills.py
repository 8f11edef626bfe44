"""`kill -9` over and over: starts of a small run, each ended at a failpoint or at a random moment, then looked at.

Children are forked from a server that has everything imported, so that a start costs milliseconds.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from bench.crash.invariants import Acknowledged, look
from bench.crash.planted import PLANTED
from bench.crash.small_run import Ledger, start
from star_agents.storage.failpoints import POINTS
from star_agents.storage.folder import RunFolder

NUM_SEEDS = 60
"""Seeds of a run; when they are done the next one begins in another folder."""

LATE_S = 0.15
"""A random kill comes before so much time has passed."""

PATIENCE_S = 60.0

REACHED = tuple(point for point in POINTS if not point.startswith(("migrate.", "command.")))
"""Failpoints that a run comes to; migrations, and orders from outside, have tests of their own."""


def forkserver() -> ForkServerContext:
    """The server that children are forked from; it has imported what they need and holds no thread."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["bench.crash.kills"])
    return context


def _child(path: str, num_seeds: int, failpoint: str, planted: str) -> None:
    if planted:
        PLANTED[planted]()
    start(path, num_seeds, failpoint)


@dataclass(slots=True)
class Killed:
    """What came of many kills."""

    kills: int = 0
    at: Counter[str] = field(default_factory=Counter)
    """Kills by failpoint; `random` for the others."""
    wasted: list[int] = field(default_factory=list)
    """Calls that each wasted."""
    resent: int = 0
    """Calls sent more than once, over all runs."""
    runs: int = 0
    """Runs that were brought to their end."""
    acknowledged: int = 0
    """What the store said to be durable, over all runs."""
    problems: list[str] = field(default_factory=list)

    def first_problem(self) -> str:
        """For a message; empty where there is none."""
        return self.problems[0] if self.problems else ""


def kills(folder: Path, num_kills: int, *, seed: int, planted: str = "", within_s: float = float("inf")) -> Killed:
    """Kill so many starts, in as many runs as it takes; stops at the first problem, or when the time is up."""
    told, chance = Killed(), random.Random(seed)
    how = _How(forkserver(), chance, _plan(chance, REACHED), planted)
    until = time.monotonic() + within_s

    def is_on() -> bool:
        return told.kills < num_kills and time.monotonic() < until

    while is_on() and not told.problems:
        told.runs += 1
        run = _Run(folder / f"run{told.runs}", how, told)
        while run.go_on(kill=is_on()):
            pass
        run.end()
    return told


@dataclass(frozen=True, slots=True)
class _How:
    """How starts are made, and ended."""

    context: ForkServerContext
    chance: random.Random
    plan: Iterator[str]
    planted: str


class _Run:
    """One run, killed and resumed until it ends by itself, and looked at each time."""

    def __init__(self, path: Path, how: _How, told: Killed) -> None:
        self._folder = RunFolder(path)
        self._how = how
        self._told = told
        self._ledger = Ledger(path.with_name(f"{path.name}.ledger"))
        self._read = 0
        self._acknowledged = Acknowledged()
        self._finished = 0

    def go_on(self, *, kill: bool) -> bool:
        """Start it, kill it or let it end, and look; True where there is more to come."""
        point = next(self._how.plan) if kill else ""
        args = str(self._folder.path), NUM_SEEDS, point, self._how.planted
        process = self._how.context.Process(target=_child, args=args)
        process.start()
        was_killed = _wait(process, None if point or not kill else self._how.chance.random() * LATE_S)
        if was_killed:
            self._told.kills += 1
            self._told.at[point.partition(":")[0] or "random"] += 1
        elif process.exitcode != 0:
            self._told.problems.append(f"{self._folder.path.name}: a start ended with {process.exitcode}")
        self._look(point or "random", was_killed=was_killed)
        return was_killed and not self._told.problems

    def _look(self, point: str, *, was_killed: bool) -> None:
        lines = self._ledger.lines()
        fresh, self._read = lines[self._read :], len(lines)
        self._acknowledged.add(fresh)
        if not self._folder.is_begun():
            return  # killed before there was anything
        sent = {name for what, name, *_ in fresh if what == "S"}
        found = look(self._folder.database, self._acknowledged, sent)
        self._finished = found.finished
        self._told.problems += [f"{self._folder.path.name}, {point}: {problem}" for problem in found.problems]
        if was_killed:
            self._told.wasted.append(found.wasted)

    def end(self) -> None:
        """Count what the run has told, and see that it is whole."""
        told, known = self._told, self._acknowledged
        told.resent += sum(times - 1 for times in known.sent.values())
        told.acknowledged += len(known.plans) + len(known.replies) + len(known.learnt)
        if not told.problems and self._finished != NUM_SEEDS:
            told.problems.append(f"{self._folder.path.name}: ended with {self._finished} of {NUM_SEEDS} seeds")


def _plan(chance: random.Random, points: Sequence[str]) -> Iterator[str]:
    """Every failpoint in turn, and a random moment for each third."""
    while True:
        for point in points:
            yield f"{point}:{_times(chance, point)}"
            if chance.random() < 0.5:
                yield ""


def _times(chance: random.Random, point: str) -> int:
    """How often a point is passed before it kills: commits are many, batches and shards are few."""
    if point.startswith("create."):
        return 1
    return chance.randint(1, {"commit": 60, "learn": 6, "publish": 4, "shard": 2}[point.split(".", maxsplit=1)[0]])


def _wait(process: ForkServerProcess, kill_after_s: float | None) -> bool:
    """Wait for the end, or make it; True where it was a kill."""
    if kill_after_s is not None:
        process.join(kill_after_s)
        process.kill()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError("a start hangs")
    return process.exitcode == -9
