"""Do the weights move as in the paper's Figure 5: the best pair from 10 to about 30 %, the worst to almost 0?"""

from matplotlib.figure import Figure

from bench.studies.plots import figure
from bench.studies.study import FULL, Arm, Scale, Study, simulate
from star_agents.lab.outcome import Outcome

SEEDS = 70_000
HORIZONS = 1, 17.5, 100
"""beta * M * N: too little, `auto`, and too much."""
PAIRS_PER_SEED = 5


def arms(scale: Scale) -> list[Arm]:
    """The paper's run; and, shorter as only the product counts, other rates."""
    usual = SEEDS if scale is FULL else scale.of(SEEDS)
    short = max(100, usual // 10)
    found = [Arm("auto", (f"laboratory.seeds={usual}",))]
    for horizon in HORIZONS:
        rate = horizon / (PAIRS_PER_SEED * short)
        found.append(Arm(f"{horizon:g}", (f"laboratory.seeds={short}", f"evolution.rate={rate:.6g}")))
    return found


def study(scale: Scale) -> Study:
    told = simulate(arms(scale), 1)
    rows = [_row(name, outcomes[0]) for name, outcomes in told.items()]
    run = told["auto"][0]
    return Study(
        name="figure5",
        rows=rows,
        figure=_plot(run, {horizon: told[f"{horizon:g}"][0] for horizon in HORIZONS}),
        notes=[f"`{arm.command(1)}`" for arm in arms(scale)],
        claims={
            "the best pair comes to 25 to 35 %": 0.25 <= run.p_best <= 0.35,
            "the worst pair comes below 2 %": min(run.p) < 0.02,
        },
    )


def _row(name: str, run: Outcome) -> dict[str, object]:
    return {
        "beta*M*N": "17.5 (auto)" if name == "auto" else name,
        "seeds": run.seeds,
        "best pair": f"{run.p_best:.1%}",
        "worst pair": f"{min(run.p):.2%}",
        "quality of rows": run.selected,
        "virtual hours": run.virtual_s / 3600,
        "seeds/s": run.seeds / run.wall_s,
    }


def _plot(run: Outcome, others: dict[float, Outcome]) -> Figure:
    picture, (left, right) = figure(columns=2)
    for pair, (name, quality) in enumerate(zip(run.pairs, run.truth, strict=True)):
        weights = [100 / len(run.pairs), *(100 * point.p[pair] for point in run.points)]
        label = f"{name.removeprefix('keep+')} ({quality:.2f})"
        left.plot([0, *(point.seeds for point in run.points)], weights, label=label)
    left.set(title="Weights of ten pairs (true quality)", xlabel="seeds", ylabel="weight, %")
    left.legend(fontsize=7, ncols=2)
    for horizon, other in others.items():
        shares = [0.0, *(100 * point.seeds / other.seeds for point in other.points)]
        right.plot(shares, [10, *(100 * other.p_best_at(point.p) for point in other.points)], label=f"{horizon:g}")
    right.set(title="The best pair, by beta M N", xlabel="share of the run, %", ylabel="weight, %")
    right.legend()
    return picture
