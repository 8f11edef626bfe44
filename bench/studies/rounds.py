"""What does it gain to learn after every batch, and not after every pass: in seeds, and in time on unequal endpoints?

The rate is the same for both: `auto` for a data set of D seeds. Per round the data set is passed again and again, as
a method does that learns between rounds.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.studies.plots import figure
from bench.studies.study import Arm, Scale, Study, simulate
from star_agents.lab.outcome import Outcome
from star_agents.lab.summary import estimate
from star_agents.policy.weights import HORIZON

SEEDS = 2000
PASSES = 4
PAIRS_PER_SEED = 5
GOALS = 0.15, 0.2, 0.25
"""Weights on the best pair; it begins at 0.1."""
GOAL = 0.2
PARTS = 1, 2, 5, 10
"""Rounds in a pass: with many, per round comes near to online."""
TARGET = 0.5


def study(scale: Scale) -> Study:
    runs = max(2, scale.runs // 4)
    told = simulate(_arms(scale), runs)
    online = told["online"]
    return Study(
        name="rounds",
        rows=[_row(name, outcomes, online) for name, outcomes in told.items()],
        figure=_plot(told),
        notes=[
            f"Mean of {runs} runs; D = {scale.of(SEEDS)} seeds; beta*M*D = {HORIZON:g}.",
            "`seeds to` and `hours to` say when the best pair had that weight (`-`: never); ratios are online to this.",
            *(f"- {arm.name}: `{arm.command(runs)}`" for arm in _arms(scale)),
        ],
        claims={
            "online needs at most half of the seeds of rounds": _ratio(online, told["a round a pass"], 0) <= TARGET,
            "and at most half of the time": _ratio(online, told["a round a pass"], 1) <= TARGET,
        },
    )


def _arms(scale: Scale) -> list[Arm]:
    seeds = scale.of(SEEDS)
    rate = f"evolution.rate={HORIZON / (PAIRS_PER_SEED * seeds):.6g}"
    common = (f"laboratory.seeds={PASSES * seeds}", "laboratory.points=1000", rate)
    arms = [Arm("online", (*common, "evolution.batch_size=32"))]
    for parts in PARTS:
        name, size = "a round a pass" if parts == 1 else f"{parts} rounds a pass", seeds // parts
        rounds = "evolution.mode=round", f"evolution.round_seeds={size}", f"sampling.max_in_flight={max(64, size)}"
        arms.append(Arm(name, (*common, *rounds)))
    return arms


def _reached(outcome: Outcome, goal: float) -> tuple[float, float] | None:
    """Seeds and virtual seconds after which the best pair had this weight."""
    found = (point for point in outcome.points if outcome.p_best_at(point.p) >= goal)
    first = next(found, None)
    return None if first is None else (first.seeds, first.virtual_s)


def _mean_reached(outcomes: Sequence[Outcome], goal: float, which: int) -> float | None:
    """The mean over runs, or None where some run did not come so far."""
    found = [reached[which] for outcome in outcomes if (reached := _reached(outcome, goal)) is not None]
    return estimate(found).mean if len(found) == len(outcomes) else None


def _ratio(online: Sequence[Outcome], other: Sequence[Outcome], which: int) -> float:
    """Of what is needed for `GOAL`; 0 where the other never came so far."""
    ours, theirs = _mean_reached(online, GOAL, which), _mean_reached(other, GOAL, which)
    if ours is None:
        return float("inf")
    return 0.0 if theirs is None else ours / theirs


def _row(name: str, outcomes: Sequence[Outcome], online: Sequence[Outcome]) -> dict[str, object]:
    row: dict[str, object] = {"learns": name}
    for goal in GOALS:
        row[f"seeds to {goal:.0%}"] = _mean_reached(outcomes, goal, 0) or "-"
    seconds = _mean_reached(outcomes, GOAL, 1)
    row[f"hours to {GOAL:.0%}"] = "-" if seconds is None else seconds / 3600
    row["ratio of seeds"], row["ratio of hours"] = (_ratio(online, outcomes, which) for which in (0, 1))
    row["hours in all"] = estimate([outcome.virtual_s / 3600 for outcome in outcomes]).mean
    return row | {"regret a draw": str(estimate([outcome.regret for outcome in outcomes]))}


def _plot(told: dict[str, list[Outcome]]) -> Figure:
    picture, (left, right) = figure(columns=2)
    for name, outcomes in told.items():
        run = outcomes[0]
        weights = [10.0, *(100 * run.p_best_at(point.p) for point in run.points)]
        left.step([0, *(point.seeds for point in run.points)], weights, where="post", label=name)
        right.step([0, *(point.virtual_s / 3600 for point in run.points)], weights, where="post", label=name)
    left.set(title="The best pair, by seeds", xlabel="seeds", ylabel="weight, %")
    right.set(title="The same, by time", xlabel="virtual hours", ylabel="weight, %")
    left.legend(fontsize=7)
    return picture
