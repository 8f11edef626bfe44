"""The pictures of a report, each an SVG, or nothing where there is nothing to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from star_agents.report.bias import LengthBias
from star_agents.report.drawing import COLOURS, PANEL, RULE, STYLES, drawn, panels, short, svg
from star_agents.report.facts import CurvePoint, Facts
from star_agents.report.sample import Point, SampledRow
from star_agents.service.view.status import PairStatus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CURVES = 12
"""Pairs that are drawn in colour: the others are in grey behind them."""

MIN_CURVE_POINTS = 2
MAX_BARS = 16
MAX_POINTS = 1_500
MAX_BINS = 40
MIN_QUALITY_ROWS = 8
QUALITY_BINS = 20
_BASE, _OTHER = COLOURS[4], COLOURS[0]


@dataclass(frozen=True, slots=True)
class Figures:
    """SVG elements; empty where there is nothing to show."""

    weights: str = ""
    quality: str = ""
    wins: str = ""
    scores: str = ""
    lengths: str = ""


def figures(facts: Facts, lengths: LengthBias) -> Figures:
    """Draw everything. Blocks, for a second or two."""
    return Figures(
        weights=_weights(facts.curve),
        quality=_quality(facts.rows),
        wins=_wins(facts.pairs),
        scores=_scores([point for row in facts.rows for point in row.points]),
        lengths=_lengths(lengths),
    )


def _weights(curve: Sequence[CurvePoint]) -> str:
    """The paper's Figure 5."""
    with drawn(1):
        if len(curve) < MIN_CURVE_POINTS:
            return ""
        last = curve[-1].p
        names = sorted({name for point in curve for name in point.p}, key=lambda name: -last.get(name, 0.0))
        picture, (axes,) = panels(1, width=2 * PANEL[0], height=3.6)
        for rank, name in reversed(list(enumerate(names))):
            seen = [(point.seeds, 100 * point.p[name]) for point in curve if name in point.p]
            colour = COLOURS[rank % len(COLOURS)] if rank < MAX_CURVES else RULE
            style = STYLES[rank // len(COLOURS) % len(STYLES)] if rank < MAX_CURVES else "-"
            label = f"{short(name)}  {seen[0][1]:.1f} → {seen[-1][1]:.1f} %" if rank < MAX_CURVES else "_"
            axes.plot(*zip(*seen, strict=True), color=colour, linestyle=style, label=label)
        axes.set(xlabel="seeds finished", ylabel="weight, %", xlim=(0, curve[-1].seeds), ylim=(0, None))
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return svg(picture, "Weight of each agent-pair by seeds finished")


def _quality(rows: Sequence[SampledRow]) -> str:
    """The gap of the row taken, as the run goes on: means with their standard errors."""
    with drawn(2):
        taken = sorted((row.seq, row.gap) for row in rows if row.gap is not None)
        if len(taken) < MIN_QUALITY_ROWS:
            return ""
        import numpy as np

        picture, (axes,) = panels(1)
        bins = np.array_split(np.array(taken), min(QUALITY_BINS, len(taken) // 4))
        middles = [part[:, 0].mean() for part in bins]
        means = [part[:, 1].mean() for part in bins]
        errors = [part[:, 1].std() / np.sqrt(len(part)) for part in bins]
        axes.errorbar(middles, means, yerr=errors, color=COLOURS[2], marker="o", markersize=3, capsize=2)
        axes.set(title="Rows taken", xlabel="seeds finished", ylabel="IFD small - large (mean, s.e.)", xlim=(0, None))
        return svg(picture, "Mean gap of the rows taken by seeds finished")


def _wins(pairs: Sequence[PairStatus]) -> str:
    with drawn(3):
        shown = sorted((pair for pair in pairs if pair.draws), key=lambda pair: -pair.wins)[:MAX_BARS]
        shown.sort(key=lambda pair: pair.wins / pair.draws)
        if not shown:
            return ""
        picture, (axes,) = panels(1, height=max(PANEL[1], 0.8 + 0.22 * len(shown)))
        rates = [100 * pair.wins / pair.draws for pair in shown]
        colours = [_BASE if pair.is_base else _OTHER for pair in shown]
        bars = axes.barh([short(pair.pair) for pair in shown], rates, color=colours, height=0.7)
        axes.bar_label(bars, [f"{pair.wins} of {pair.draws}" for pair in shown], padding=3, fontsize=8)
        axes.set(title="Draws that won their seed", xlabel="%", xlim=(0, 1.3 * max(*rates, 1.0)))
        axes.grid(visible=False, axis="y")
        return svg(picture, "Share of its draws that each pair has won")


def _scores(points: Sequence[Point]) -> str:
    with drawn(4):
        if not points:
            return ""
        picture, (left, right) = panels(2)
        for is_selected, colour, label in ((False, COLOURS[5], "not taken"), (True, COLOURS[1], "taken")):
            some = [point for point in points if point.is_selected is is_selected]
            _scatter(left, some[:: max(1, len(points) // MAX_POINTS)], color=colour, label=label)
            _spread(right, some, points, color=colour, label=f"{label} ({len(some)})")
        top = max(max(point.small, point.large) for point in points)
        left.plot([0, top], [0, top], color=RULE, linewidth=1, zorder=0)
        left.set(title="Candidates under both models", xlabel="IFD, large model", ylabel="IFD, small model")
        right.set(title="The gap that Eq. 5 ranks by", xlabel="IFD small - large", ylabel="density")
        left.legend(fontsize=8)
        right.legend(fontsize=8)
        return svg(picture, "IFD of candidates under the small and the large model, and their difference")


def _scatter(axes: "Axes", points: Sequence[Point], *, color: str, label: str) -> None:
    places = [point.large for point in points], [point.small for point in points]
    axes.scatter(*places, s=7, alpha=0.6, linewidths=0, color=color, label=label)


def _spread(axes: "Axes", some: Sequence[Point], points: Sequence[Point], *, color: str, label: str) -> None:
    """The gaps of some, in bins that are the same for all."""
    if not some:
        return
    gaps = [point.small - point.large for point in points]
    bins = min(MAX_BINS, 4 + round(len(points) ** 0.5))
    found, reach = [point.small - point.large for point in some], (min(gaps), max(gaps))
    axes.hist(found, bins, range=reach, density=True, histtype="step", color=color, label=label, linewidth=1.5)


def _lengths(lengths: LengthBias) -> str:
    with drawn(5):
        known = [(label, share) for label, share in lengths.by_ratio if share is not None]
        if not known:
            return ""
        picture, (axes,) = panels(1)
        values = [100 * share.value for _, share in known]
        errors = [
            [100 * max(0.0, share.value - share.low) for _, share in known],
            [100 * max(0.0, share.high - share.value) for _, share in known],
        ]
        axes.errorbar(range(len(known)), values, yerr=errors, fmt="o", color=COLOURS[3], capsize=3)
        axes.axhline(50, color=RULE, linewidth=1)
        axes.set_xticks(range(len(known)), [f"{label}\n({share.whole})" for label, share in known], fontsize=8)
        axes.set(title="Candidate preferred to the base", xlabel="its length by the base's", ylabel="%", ylim=(0, 100))
        axes.margins(x=0.1)
        return svg(picture, "How often the judge preferred the candidate, by how much longer it was")
