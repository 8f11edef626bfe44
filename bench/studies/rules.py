"""What does each rule lose to an oracle that knows who is best, where nothing, time or the task decides that?

Regret is the mean true quality that a draw lacks to the best pair for its seed. Every rule has its own `auto`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import get_args

from matplotlib.figure import Figure

from bench.studies.plots import figure
from bench.studies.study import FROZEN, Arm, Scale, Study, gain, mean_of, simulate
from star_agents.lab.outcome import Outcome
from star_agents.service.config.settings import EvolutionSection

SEEDS = 1500
AGENTS = 10
CLUSTERS = 5
RULES: tuple[str, ...] = get_args(EvolutionSection.model_fields["rule"].annotation)
WITH_MEMORY = "memory.embedder=any", "memory.neighbours=3", "memory.min_score=0.9", "sampling.from_memory=3"
"""A narrow pool of clear winners: the other draws are from outside it, so a wide one keeps the good pairs from them."""

BANKS = "memory", "wide memory"
WIDE_MEMORY = "memory.embedder=any", "memory.neighbours=10", "sampling.from_memory=2"


def _drifting() -> tuple[str, ...]:
    """In the middle of the run the best becomes the worst, and the worst the best."""
    changes = {"r9": -0.17, "r8": -0.13, "r0": 0.17, "r1": 0.13}
    return tuple(
        f"laboratory.response.{name}.drift={json.dumps({'at': 0.5, 'by': by})}" for name, by in changes.items()
    )


def _by_task() -> tuple[str, ...]:
    """Five kinds of tasks; each agent is at home in one of them, and no agent is better than another on the whole."""
    found = [f"laboratory.clusters={CLUSTERS}"]
    for agent in range(AGENTS):
        qualities = {f"c{kind}": 0.6 if kind == agent % CLUSTERS else 0.44 for kind in range(CLUSTERS)}
        found.append(f"laboratory.response.r{agent}.quality={json.dumps(qualities)}")
    return tuple(found)


WORLDS: Mapping[str, tuple[str, ...]] = {"stationary": (), "drifting": _drifting(), "by task": _by_task()}


def study(scale: Scale) -> Study:
    runs = max(2, scale.runs // 2)
    told = simulate(_arms(scale), runs)
    rows = [_row(name, outcomes, told[f"{name.split(': ')[0]}: uniform"]) for name, outcomes in told.items()]
    memory, wide = (gain(told[f"by task: paper, {bank}"], told["by task: paper"], "selected") for bank in BANKS)
    return Study(
        name="rules",
        rows=rows,
        figure=_plot(told),
        notes=[
            f"Mean of {runs} runs of {scale.of(SEEDS)} seeds, 95 % intervals.",
            f"Memory bank, by task, rule paper: {memory} of quality with 3 neighbours, {wide} with 10.",
            *(f"- {arm.name}: `{arm.command(runs)}`" for arm in _arms(scale)),
        ],
        claims={
            "paper beats uniform draws, stationary": _earns(told, "stationary", "paper"),
            "the memory bank earns its keep by task": memory.low > 0,
        },
    )


def _arms(scale: Scale) -> list[Arm]:
    arms = []
    for world, truth in WORLDS.items():
        common = (f"laboratory.seeds={scale.of(SEEDS)}", *truth)
        arms.append(Arm(f"{world}: uniform", (*common, FROZEN)))
        if world == "by task":
            arms.append(Arm(f"{world}: uniform, memory", (*common, FROZEN, *WITH_MEMORY)))
            arms.append(Arm(f"{world}: paper, wide memory", (*common, "evolution.rule=paper", *WIDE_MEMORY)))
        for rule in RULES:
            arms.append(Arm(f"{world}: {rule}", (*common, f"evolution.rule={rule}")))
            if world == "by task":
                arms.append(Arm(f"{world}: {rule}, memory", (*common, f"evolution.rule={rule}", *WITH_MEMORY)))
    return arms


def _earns(told: Mapping[str, Sequence[Outcome]], world: str, rule: str) -> bool:
    return gain(told[f"{world}: uniform"], told[f"{world}: {rule}"], "regret").low > 0


def _row(name: str, outcomes: Sequence[Outcome], uniform: Sequence[Outcome]) -> dict[str, object]:
    world, rule = name.split(": ")
    regret = mean_of(outcomes, "regret")
    return {
        "world": world,
        "rule": rule,
        "regret a draw": str(regret),
        "of uniform": f"{regret.mean / mean_of(uniform, 'regret').mean:.0%}",
        "quality of rows": str(mean_of(outcomes, "selected")),
        "over uniform": str(gain(outcomes, uniform, "selected")),
        "largest weight": f"{sum(max(outcome.p) for outcome in outcomes) / len(outcomes):.0%}",
    }


def _plot(told: Mapping[str, Sequence[Outcome]]) -> Figure:
    picture, panels = figure(columns=len(WORLDS))
    for panel, world in zip(panels, WORLDS, strict=True):
        arms = {name.split(": ")[1]: runs for name, runs in told.items() if name.startswith(f"{world}: ")}
        for rule, runs in arms.items():
            seeds, totals = [0], [0.0]
            for at in zip(*(run.points for run in runs), strict=False):
                mean = sum(point.regret for point in at) / len(at)
                totals.append(totals[-1] + mean * (at[0].seeds - seeds[-1]))
                seeds.append(at[0].seeds)
            panel.plot(seeds, totals, "--" if "memory" in rule else "-", label=rule)
        panel.set(title=world, xlabel="seeds", ylabel="regret a draw, summed over seeds")
        panel.legend(fontsize=7)
    return picture
