"""What does a unit of quality cost: learning by quality or by quality per cost, judging all or lazily?"""

from collections.abc import Mapping, Sequence
from typing import get_args

from matplotlib.figure import Figure

from bench.studies.plots import figure
from bench.studies.study import FROZEN, Arm, Scale, Study, mean_of, simulate
from star_agents.lab.outcome import Outcome
from star_agents.lab.summary import estimate
from star_agents.service.config.settings import EvolutionSection

SEEDS = 1500
POLICIES = "all", "lazy"
REWARDS: tuple[str, ...] = get_args(EvolutionSection.model_fields["reward"].annotation)


def study(scale: Scale) -> Study:
    runs = max(2, scale.runs // 2)
    told = simulate(_arms(scale), runs)
    return Study(
        name="dollars",
        rows=[_row(name, outcomes) for name, outcomes in told.items()],
        figure=_plot(told),
        notes=[
            f"Mean of {runs} runs of {scale.of(SEEDS)} seeds, 95 % intervals. Prices: {_prices(_arms(scale)[0])}.",
            "A unit of quality is one row of quality 1; of gain, one row by 1 better than the base pair's.",
            *(f"- {arm.name}: `{arm.command(runs)}`" for arm in _arms(scale)),
        ],
        claims={
            "lazy judging makes a unit of quality cheaper": _is_cheaper(told, "quality, lazy", "quality, all"),
            "so does quality_per_cost": _is_cheaper(told, "quality_per_cost, all", "quality, all"),
        },
    )


def _arms(scale: Scale) -> list[Arm]:
    common = f"laboratory.seeds={scale.of(SEEDS)}"
    arms = [Arm(f"uniform, {policy}", (common, FROZEN, f"judge.policy={policy}")) for policy in POLICIES]
    return arms + [
        Arm(f"{reward}, {policy}", (common, f"evolution.reward={reward}", f"judge.policy={policy}"))
        for reward in REWARDS
        for policy in POLICIES
    ]


def _is_cheaper(told: Mapping[str, Sequence[Outcome]], one: str, other: str) -> bool:
    """Whether a unit of quality surely costs less, run by run."""
    pairs = zip(told[one], told[other], strict=True)
    return estimate([_unit_cost(first) - _unit_cost(second) for first, second in pairs]).high < 0


def _unit_cost(outcome: Outcome) -> float:
    """Dollars for a thousand units of quality."""
    return 1000 * (outcome.usd or 0.0) / (_num_rows(outcome) * (outcome.selected or 1.0))


def _gain_cost(outcome: Outcome) -> float:
    """Dollars for a thousand units of gain over the base."""
    return 1000 * (outcome.usd or 0.0) / (_num_rows(outcome) * ((outcome.selected or 1.0) - (outcome.base or 0.0)))


def _num_rows(outcome: Outcome) -> int:
    return outcome.seeds - outcome.rows.get("dropped", 0)


def _prices(arm: Arm) -> str:
    priced = [(name, section.price) for name, section in arm.settings().endpoints.items()]
    return ", ".join(f"{name} {price.input:g}/{price.output:g}" for name, price in priced if price is not None)


def _row(name: str, outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "learns by, judges": name,
        "$ a 1000 rows": str(estimate([1000 * (one.usd or 0.0) / _num_rows(one) for one in outcomes])),
        "quality": str(mean_of(outcomes, "selected")),
        "$ a 1000 units of quality": str(estimate([_unit_cost(one) for one in outcomes])),
        "$ a 1000 units of gain": str(estimate([_gain_cost(one) for one in outcomes])),
        "judge calls a seed": sum(one.judge_calls / one.seeds for one in outcomes) / len(outcomes),
        "weight on the large, in the end": f"{_share(outcomes, 'r8', 'r9'):.0%}",
    }


def _share(outcomes: Sequence[Outcome], *agents: str) -> float:
    """The mean weight that these agents have in the end."""
    names = {f"keep+{agent}" for agent in agents}
    found = (sum(p for pair, p in zip(one.pairs, one.p, strict=True) if pair in names) for one in outcomes)
    return sum(found) / len(outcomes)


def _plot(told: Mapping[str, Sequence[Outcome]]) -> Figure:
    picture, (panel,) = figure()
    for name, outcomes in told.items():
        cost = sum(1000 * (one.usd or 0.0) / one.seeds for one in outcomes) / len(outcomes)
        panel.errorbar(
            cost,
            mean_of(outcomes, "selected").mean,
            yerr=mean_of(outcomes, "selected").half_width,
            fmt="o" if name.endswith("all") else "s",
            capsize=3,
            label=name,
        )
    panel.set(title="What quality costs", xlabel="$ a thousand rows", ylabel="quality of the rows", xlim=(0, None))
    panel.legend(fontsize=7)
    return picture
