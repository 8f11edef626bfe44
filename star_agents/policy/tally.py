"""Counting what pairs do and what happens to rows: a pure fold, one finished seed at a time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from star_agents.core.calls import Failure
from star_agents.core.records import (
    AgentPair,
    Graded,
    PairTally,
    RowSource,
    Tally,
)


def start(base: Sequence[AgentPair], pool: Sequence[AgentPair]) -> Tally:
    """Counts of a run that has done nothing yet."""
    return Tally(tuple(PairTally(pair) for pair in (*base, *pool)))


def count(tally: Tally, graded: Iterable[Graded]) -> Tally:
    """The counts after these finished seeds; a pair the tally does not know yet is added to it."""
    pairs = {pair.pair: pair for pair in tally.pairs}
    events = Counter(tally.events)
    for item in graded:
        events.update(_events(item))
        for slot, grade in zip(item.settled.plan.slots, item.grades, strict=True):
            before = pairs.get(slot.pair, PairTally(slot.pair))
            pairs[slot.pair] = replace(
                before,
                draws=before.draws + 1,
                graded=before.graded + (grade.pi is not None),
                wins=before.wins + (item.selection.slot == slot.number),
                pi_sum=before.pi_sum + (grade.pi or 0.0),
            )
    return Tally(tuple(pairs.values()), dict(sorted(events.items())))


def _events(item: Graded) -> Counter[str]:
    events = Counter({f"row.{item.selection.source}": 1})
    if item.selection.source is RowSource.DROPPED:
        events[f"drop.{item.selection.reason}"] += 1
    for outcome in item.settled.outcomes:
        if isinstance(outcome, Failure):
            events[f"failure.{outcome.reason}"] += 1
    for verdict in item.verdicts.values():
        events[f"verdict.{verdict.source}"] += 1
        events.update(f"verdict.label.{label}" for label in verdict.labels)
    return events
