"""Taking a snapshot of a run: reading only, cheap enough for four a second."""

from collections import deque
from dataclasses import replace

import orjson

from star_agents.core.records import (
    Candidate,
    Epoch,
    Graded,
    PairWeights,
    RowSource,
    Tally,
)
from star_agents.policy.weights import uniform
from star_agents.service.run.ended import read_ended
from star_agents.service.run.engine import Engine
from star_agents.service.run.orders import SHOWN
from star_agents.service.view.bill import bill, recorded_prices
from star_agents.service.view.bottleneck import with_bottleneck
from star_agents.service.view.judge_status import judge_status, recorded_swap
from star_agents.service.view.order_line import order_line
from star_agents.service.view.status import Ending, LastRow, PairStatus, Phase, PoolChange, RunStatus
from star_agents.storage.commands import read_newest
from star_agents.storage.folder import RunFolder
from star_agents.storage.integrity import missing_files
from star_agents.storage.recovery import read_standing

MIN_MARKS = 2
RECENT_CHARS = 400
"""Characters of each text of a recent row."""

RATE_WINDOW_S = 30.0
"""The rate shown is that of the last half minute; the ETA follows from it."""


def picture(
    name: str, engine: Engine | None, *, phase: Phase, message: str, elapsed_s: float, seeds_per_s: float
) -> RunStatus:
    """Take a snapshot; before there is an engine, of nothing but the waiting."""
    if engine is None:
        return RunStatus(name, phase, message, elapsed_s)
    left = engine.seeds_total - engine.seeds_done
    shown = RunStatus(
        name=name,
        phase=phase,
        message=message,
        elapsed_s=elapsed_s,
        seeds_total=engine.seeds_total,
        seeds_done=engine.seeds_done,
        seeds_kept=engine.seeds_kept,
        seeds_in_flight=engine.board.in_flight,
        seeds_per_s=seeds_per_s,
        eta_s=eta(phase, left=left, in_flight=engine.board.in_flight, seeds_per_s=seeds_per_s),
        weights_version=engine.board.weights.version,
        channels=engine.graph.statistics(),
        endpoints=engine.fleet.snapshot(),
        servers=tuple(status for replicas in engine.servers for status in replicas.status()),
        scorer=engine.scorer.snapshot(),
        pairs=pair_lines(engine.evolver.tally, engine.weights_at_start, engine.board.weights),
        events=dict(engine.evolver.tally.events),
        last=_last_row(engine.evolver.last) if engine.evolver.last is not None else None,
        recent=tuple(_clipped(_last_row(graded)) for graded in reversed(engine.evolver.recent)),
        bill=engine.bill(),
        judging=judge_status(engine.evolver.tally, engine.spend, swap=engine.job.settings.judge.swap),
        budget=engine.budget(),
        changes=tuple(map(pool_change, engine.changes)),
        lost=engine.lost,
        orders=tuple(map(order_line, engine.orders.recent)),
        seeds_fed=engine.source.num_fed,
    )
    return with_bottleneck(shown)


def eta(phase: Phase, *, left: int, in_flight: int, seeds_per_s: float) -> float | None:
    """Seconds to the end at the rate of late; None where nobody can tell: while it waits, is held, or has no rate.

    A run that drains takes in no more: what is in flight is all that is left of it.
    """
    if phase is Phase.DRAINING:
        left = in_flight
    elif phase is not Phase.RUNNING:
        return None
    return left / seeds_per_s if left > 0 and seeds_per_s > 0 else None


def resting_picture(folder: RunFolder) -> RunStatus:
    """Where a run stands that is not running, read from its folder. Blocks.

    How many seeds there are is known of one that is complete; of any other `seeds_total` is 0.

    Raises:
        StoreError: the folder cannot be read.
    """
    standing, ending = read_standing(folder.database), read_ended(folder.path)
    weights = standing.weights or uniform(standing.manifest.pairs)
    return RunStatus(
        name=_recorded_name(standing.manifest.config) or folder.path.name,
        phase=Phase.RESTING,
        message="",
        elapsed_s=0.0,
        seeds_total=standing.finished if ending is Ending.COMPLETE else 0,
        seeds_done=standing.finished,
        seeds_kept=standing.finished - standing.tally.events.get(f"row.{RowSource.DROPPED}", 0),
        seeds_in_flight=standing.in_flight,
        weights_version=weights.version,
        pairs=pair_lines(standing.tally, uniform(standing.manifest.pairs), weights),
        events=dict(standing.tally.events),
        bill=bill(standing.spend, recorded_prices(standing.manifest.config)),
        judging=judge_status(standing.tally, standing.spend, swap=recorded_swap(standing.manifest.config)),
        changes=tuple(map(pool_change, standing.epochs)),
        ending=ending,
        lost=missing_files(folder.database),
        orders=tuple(map(order_line, read_newest(folder.database, limit=SHOWN))),
    )


class RateMeter:
    """Events a second over about the last `RATE_WINDOW_S`; it is told the count now and then.

    Only changes are remembered, and always the last two: where events come more rarely than the window is
    long, the rate falls off slowly instead of jumping to 0.
    """

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def update(self, now: float, total: int) -> float:
        """Note the running total at `now` and return the rate; 0 before the first event."""
        if not self._marks or total != self._marks[-1][1]:
            self._marks.append((now, total))
        while len(self._marks) > MIN_MARKS and now - self._marks[1][0] >= RATE_WINDOW_S:
            self._marks.popleft()
        first_at, first_total = self._marks[0]
        return (total - first_total) / (now - first_at) if now > first_at else 0.0


def pair_lines(tally: Tally, before: PairWeights, after: PairWeights) -> tuple[PairStatus, ...]:
    """The tally beside the weights, base pairs first; a pair that has no weight and never left is one."""
    was, now = _by_name(before), _by_name(after)
    return tuple(
        PairStatus(
            pair=str(item.pair),
            is_base=str(item.pair) not in now and not item.is_retired,
            draws=item.draws,
            wins=item.wins,
            mean_pi=item.mean_pi,
            p_before=was.get(str(item.pair)),
            p=now.get(str(item.pair)),
        )
        for item in tally.pairs
    )


def pool_change(epoch: Epoch) -> PoolChange:
    """A change of the pool in names."""
    return PoolChange(
        version=epoch.version,
        added=tuple(map(str, epoch.added)),
        retired=tuple(map(str, epoch.retired)),
        agents=tuple(f"{agent.role}:{agent.name}" for agent in epoch.agents),
        reason=epoch.reason,
    )


def _by_name(weights: PairWeights) -> dict[str, float]:
    return {str(pair): p for pair, p in zip(weights.pairs, weights.p, strict=True)}


def _clipped(row: LastRow) -> LastRow:
    """A row of which as much is left as a screen shows: snapshots go over a wire several times a second."""
    return replace(
        row,
        seed_instruction=row.seed_instruction[:RECENT_CHARS],
        instruction=row.instruction[:RECENT_CHARS],
        response=row.response[:RECENT_CHARS],
    )


def _recorded_name(config: str) -> str | None:
    """`run.name` of a recorded config (`identity.record`)."""
    named: dict[str, str] = orjson.loads(config).get("run", {})
    return named.get("name")


def _last_row(graded: Graded) -> LastRow:
    plan, selection = graded.settled.plan, graded.selection
    outcome = graded.settled.outcomes[selection.slot] if selection.slot is not None else None
    written = outcome if isinstance(outcome, Candidate) else None
    return LastRow(
        seed=plan.seed.number,
        source=selection.source,
        pair=str(plan.slots[selection.slot].pair) if selection.slot is not None else None,
        pi=selection.pi,
        seed_instruction=plan.seed.question,
        instruction=written.instruction if written else plan.seed.question,
        response=written.response if written else plan.seed.response,
    )
