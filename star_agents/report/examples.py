"""A few rows to read, before and after: the best, the middle one, and one where nothing was better. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from star_agents.core.records import RowSource
from star_agents.report.sample import SampledRow


@dataclass(frozen=True, slots=True)
class Shown:
    """A row, and why it is shown."""

    title: str
    row: SampledRow


def examples(rows: Sequence[SampledRow]) -> tuple[Shown, ...]:
    """At most three, no row twice. Rows are ranked by pi, then by gap, then the earlier seed is first."""
    taken = [row for row in rows if row.source is RowSource.CANDIDATE and row.pi]
    ranked = sorted(taken, key=lambda row: (-(row.pi or 0.0), -(row.gap or 0.0), row.seed))
    shown = []
    if ranked:
        shown.append(Shown("The best", ranked[0]))
        shown.append(Shown("The middle one", ranked[len(ranked) // 2]))
    fallback = next((row for row in rows if row.is_fallback), None)
    if fallback is not None:
        shown.append(Shown("No candidate was better", fallback))
    first = {each.row.seed: each for each in reversed(shown)}
    return tuple(reversed(first.values()))
