"""Is the order that of the paper's Table 3: diversity alone < rows as they were < + selection < + evolution?

The measure is the laboratory's own, the true quality of the rows. Where an order does not hold, its setting is shown.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from bench.studies.plots import figure
from bench.studies.study import FROZEN, Arm, Scale, Study, simulate
from star_agents.lab.outcome import Outcome
from star_agents.lab.summary import Estimate, estimate

SEEDS = 1000
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "as configured": (),
    "base as good as the best (0.56)": ("laboratory.response.base.quality=0.56",),
    "base as bad as the worst (0.39)": ("laboratory.response.base.quality=0.39",),
    "judge sees nothing": ("laboratory.judge.noise=100",),
    "scorers see nothing": ("laboratory.scorer.noise=100",),
    "neither sees anything": ("laboratory.judge.noise=100", "laboratory.scorer.noise=100"),
}
CONFIGURED = "as configured"
MEASURES = "diversity only", "as it was", "+ selection", "+ evolution"


def study(scale: Scale) -> Study:
    told = simulate(_arms(scale), scale.runs)
    values = {name: _values(told[f"{name}, frozen"], told[f"{name}, evolving"]) for name in SETTINGS}
    return Study(
        name="table3",
        rows=[_row(name, measured) for name, measured in values.items()],
        figure=_plot(values, told[f"{CONFIGURED}, frozen"], told[f"{CONFIGURED}, evolving"]),
        notes=[
            f"Mean of {scale.runs} runs of {scale.of(SEEDS)} seeds, 95 % intervals; a run of both arms has one chance.",
            *(f"- {arm.name}: `{arm.command(scale.runs)}`" for arm in _arms(scale)),
        ],
        claims={
            f"{low} < {high}": _difference(values[CONFIGURED], low, high).low > 0 for low, high in pairwise(MEASURES)
        },
    )


def _arms(scale: Scale) -> list[Arm]:
    seeds = f"laboratory.seeds={scale.of(SEEDS)}"
    return [
        Arm(f"{name}, {arm}", (seeds, *assignments, *frozen))
        for name, assignments in SETTINGS.items()
        for arm, frozen in (("frozen", (FROZEN,)), ("evolving", ()))
    ]


def _values(frozen: Sequence[Outcome], evolving: Sequence[Outcome]) -> dict[str, list[float]]:
    """By measure, its value in every run."""
    return {
        "diversity only": [one.drawn or 0.0 for one in frozen],
        "as it was": [one.base or 0.0 for one in frozen],
        "+ selection": [one.selected or 0.0 for one in frozen],
        "+ evolution": [one.selected or 0.0 for one in evolving],
    }


def _difference(values: Mapping[str, Sequence[float]], low: str, high: str) -> Estimate:
    return estimate([after - before for before, after in zip(values[low], values[high], strict=True)])


def _row(name: str, values: Mapping[str, Sequence[float]]) -> dict[str, object]:
    row: dict[str, object] = {"setting": name, **{measure: str(estimate(values[measure])) for measure in MEASURES}}
    row["evolution adds"] = str(_difference(values, "+ selection", "+ evolution"))
    broken = [f"{low} < {high}" for low, high in pairwise(MEASURES) if not _difference(values, low, high).low > 0]
    return row | {"not shown": "; ".join(broken)}


def _plot(
    values: Mapping[str, Mapping[str, Sequence[float]]], frozen: Sequence[Outcome], evolving: Sequence[Outcome]
) -> Figure:
    picture, (left, right) = figure(columns=2)
    bars = {name: estimate(values[CONFIGURED][name]) for name in MEASURES}
    widths = [bar.half_width or 0.0 for bar in bars.values()]
    left.bar(
        list(bars), [bar.mean for bar in bars.values()], yerr=widths, color=["0.75", "0.55", "C0", "C1"], capsize=4
    )
    left.set(title="True quality of the rows", ylim=(0.4, None))
    for name, runs in (("uniform draws", frozen), ("evolving", evolving)):
        points = list(zip(*(run.points for run in runs), strict=False))
        shown = [(at[0].seeds, [point.selected for point in at if point.selected is not None]) for at in points]
        right.plot([seeds for seeds, _ in shown], _smooth([sum(found) / len(found) for _, found in shown]), label=name)
    right.set(title="Over the run", xlabel="seeds", ylabel="quality of the selected rows")
    right.legend()
    return picture


def _smooth(values: Sequence[float], window: int = 9) -> list[float]:
    """A running mean over so many points."""
    half = window // 2
    spans = (values[max(0, at - half) : at + half + 1] for at in range(len(values)))
    return [sum(span) / len(span) for span in spans]
