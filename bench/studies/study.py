"""What all studies share: worlds by `--set`, runs over all cores, and what a study comes to."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from star_agents.lab.outcome import Outcome
from star_agents.lab.repeat import repeat
from star_agents.lab.summary import Estimate, estimate
from star_agents.service.config.overrides import override
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import read_yaml

CONFIG = Path(__file__).parents[2] / "configs" / "laboratory.yaml"
FROZEN = "evolution.rate=1e-12"
"""Weights that do not move: uniform draws."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to run: `runs` of each arm, and a factor on the seeds of a run."""

    name: str
    runs: int
    seeds: float

    def of(self, seeds: int) -> int:
        """So many seeds at full scale, at this one."""
        return max(100, round(self.seeds * seeds))


QUICK, USUAL, FULL = Scale("quick", 2, 0.03), Scale("usual", 8, 0.4), Scale("full", 20, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A question and its answer: a table, a plot, and whether what was claimed holds (None: nothing was)."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    figure: Figure
    notes: Sequence[str] = ()
    claims: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arm:
    """A world and a way to run it: `configs/laboratory.yaml` with these values replaced."""

    name: str
    assignments: tuple[str, ...]

    def settings(self) -> Settings:
        """The config."""
        source = read_yaml(CONFIG)
        override(source, self.assignments)
        return check(source)

    def command(self, runs: int) -> str:
        """What gives the same figures on the command line."""
        sets = " ".join(f"--set '{one}'" for one in self.assignments)
        return f"star-agents simulate configs/laboratory.yaml --runs {runs} {sets}"


def simulate(arms: Sequence[Arm], runs: int) -> dict[str, list[Outcome]]:
    """Every arm so many times, by the arm's name; the runs of two arms with the same number have the same chance."""
    orders = [(arm.settings(), number) for number in range(runs) for arm in arms]
    outcomes = iter(asyncio.run(repeat(orders, jobs=os.cpu_count() or 1)))
    found: dict[str, list[Outcome]] = {arm.name: [] for arm in arms}
    for _ in range(runs):
        for arm in arms:
            found[arm.name].append(next(outcomes))
    return found


def mean_of(outcomes: Sequence[Outcome], name: str) -> Estimate:
    """The mean of a field that every run has."""
    return estimate([float(getattr(outcome, name)) for outcome in outcomes])


def gain(after: Sequence[Outcome], before: Sequence[Outcome], name: str) -> Estimate:
    """The mean difference between two arms, run by run: what they share in chance falls out."""
    pairs = zip(after, before, strict=True)
    return estimate([float(getattr(one, name)) - float(getattr(other, name)) for one, other in pairs])
