"""Everything a report tells, read from a run folder without changing it: of a run that is over, going on or was killed.

Counts, weights, money and faults are those of the whole run. What needs the texts or the vectors of rows is of a
sample, and is called one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from star_agents.policy.weights import uniform
from star_agents.report.sample import SampledRow, sampled, sampler
from star_agents.service.run.ended import read_ended
from star_agents.service.run.picture import pair_lines
from star_agents.service.view.bill import Bill, bill, recorded_prices
from star_agents.service.view.judge_status import JudgeStatus, judge_status, recorded_swap
from star_agents.service.view.order_line import OrderLine, order_line
from star_agents.service.view.status import Ending, PairStatus
from star_agents.storage.commands import read_newest
from star_agents.storage.dead_letters import FailureKind, failure_kinds
from star_agents.storage.folder import RunFolder
from star_agents.storage.lost import Lost, OnLost
from star_agents.storage.recovery import Standing, read_standing
from star_agents.storage.rows import iter_rows
from star_agents.storage.weight_history import read_history

CURVE_POINTS = 300
"""Versions of the weights that are drawn; a longer history is thinned evenly."""

MOST_ORDERS = 50
"""Orders to the run that are named."""

SCORER_FILE = "scorer.jsonl"

Tell = Callable[[int], None]
"""Told how many of the rows to be looked at have been read."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Weights after so many finished seeds, by pair."""

    seeds: int
    p: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A run. `rows` are in seed order, and `share` of all that have finished; `ending` is None without a clean end.

    `orders` are the newest, oldest first; `lost` are files that could not be read: all is told without them.
    """

    standing: Standing
    config: Mapping[str, Any]
    ending: Ending | None
    curve: tuple[CurvePoint, ...]
    pairs: tuple[PairStatus, ...]
    bill: Bill
    judging: JudgeStatus
    failures: tuple[FailureKind, ...]
    orders: tuple[OrderLine, ...]
    lost: tuple[Lost, ...]
    scorers: tuple[Mapping[str, Any], ...]
    rows: tuple[SampledRow, ...]
    share: float

    @property
    def name(self) -> str:
        """The run's name in its config."""
        return str(self.config.get("run", {}).get("name", "star-agents run"))

    @property
    def sources(self) -> dict[str, int]:
        """Finished seeds by where their row came from."""
        events = self.standing.tally.events
        return {name.removeprefix("row."): n for name, n in events.items() if name.startswith("row.")}

    @property
    def drops(self) -> dict[str, int]:
        """Seeds that left no row, by reason."""
        events = self.standing.tally.events
        return {name.removeprefix("drop."): n for name, n in events.items() if name.startswith("drop.")}

    @property
    def kept(self) -> int:
        """Seeds that left a row."""
        return sum(count for source, count in self.sources.items() if source != "dropped")


def read_facts(folder: RunFolder, tell: Tell) -> Facts:
    """Read them. Blocks, for about a minute where a million seeds have finished.

    Raises:
        StoreError: the run cannot be read, or a row is damaged; it names the row.
    """
    standing = read_standing(folder.database)
    share, wanted = sampler(standing.finished)
    first = uniform(standing.manifest.pairs)
    lost: dict[str, Lost] = {}

    def on_lost(one: Lost) -> None:
        lost[one.file] = replace(one, file=Path(one.file).name)  # where it lay is nobody's business

    failures, rows = failure_kinds(folder.database, on_lost), _rows(folder.database, wanted, tell, on_lost)
    orders = read_newest(folder.database, limit=MOST_ORDERS)
    return Facts(
        standing=standing,
        config=orjson.loads(standing.manifest.config),
        ending=read_ended(folder.path),
        curve=_curve(folder.database, standing),
        pairs=pair_lines(standing.tally, first, standing.weights or first),
        bill=bill(standing.spend, recorded_prices(standing.manifest.config)),
        judging=judge_status(standing.tally, standing.spend, swap=recorded_swap(standing.manifest.config)),
        failures=failures,
        orders=tuple(map(order_line, reversed(orders))),
        lost=tuple(lost.values()),
        scorers=_scorers(folder.path / SCORER_FILE),
        rows=rows,
        share=share,
    )


def _rows(database: Path, wanted: Callable[[int], bool], tell: Tell, on_lost: OnLost) -> tuple[SampledRow, ...]:
    rows = []
    for row in iter_rows(database, wanted=wanted, on_lost=on_lost):
        rows.append(sampled(row))
        tell(len(rows))
    return tuple(rows)


def _curve(database: Path, standing: Standing) -> tuple[CurvePoint, ...]:
    """The weights as the run was begun, and an even choice of what they were since."""
    begun = uniform(standing.manifest.pairs)
    points = [CurvePoint(0, dict(zip(map(str, begun.pairs), begun.p, strict=True)))]
    if standing.weights is None:
        return tuple(points)
    step = max(1, standing.weights.version // CURVE_POINTS)
    for version in read_history(database, limit=2 * CURVE_POINTS, step=step):
        weights = version.weights
        points.append(CurvePoint(version.applied_seq, dict(zip(map(str, weights.pairs), weights.p, strict=True))))
    newest = dict(zip(map(str, standing.weights.pairs), standing.weights.p, strict=True))
    if points[-1].p != newest:
        points.append(CurvePoint(standing.finished, newest))
    return tuple(points)


def _scorers(file: Path) -> tuple[Mapping[str, Any], ...]:
    """What scores depended on, a line for each change; nothing of a run that never scored, or a line that is torn."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return tuple(each for each in found if isinstance(each, dict))
