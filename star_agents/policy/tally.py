"""Counting what pairs do and what happens to rows: a pure fold, one finished seed at a time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from star_agents.core.calls import Failure
from star_agents.core.records import (
    AgentPair,
    Graded,
    PairTally,
    Probe,
    ProbeTally,
    RowSource,
    Tally,
    Verdict,
)
from star_agents.policy.drift import DriftOptions, observe
from star_agents.policy.verdicts import leaning

USUAL_DRIFT = DriftOptions()


def start(base: Sequence[AgentPair], pool: Sequence[AgentPair]) -> Tally:
    """Counts of a run that has done nothing yet."""
    return Tally(tuple(PairTally(pair) for pair in (*base, *pool)))


def count(tally: Tally, graded: Iterable[Graded], drift: DriftOptions = USUAL_DRIFT) -> Tally:
    """The counts after these finished seeds; a pair the tally does not know yet is added to it."""
    pairs = {pair.pair: pair for pair in tally.pairs}
    events, probes = Counter(tally.events), tally.probes
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
        if item.probe is not None:
            events[f"probe.{_PROBED[item.probe.is_right]}"] += 1
            probes = _observed(probes, item.probe, drift)
    if probes.alarms > tally.probes.alarms:
        events["probe.alarm"] += probes.alarms - tally.probes.alarms
    return replace(tally, pairs=tuple(pairs.values()), events=dict(sorted(events.items())), probes=probes)


_PROBED = {True: "right", False: "wrong", None: "failed"}


def _observed(probes: ProbeTally, probe: Probe, drift: DriftOptions) -> ProbeTally:
    """A probe whose call failed says nothing of the judge."""
    return probes if probe.is_right is None else observe(probes, is_right=probe.is_right, options=drift)


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
        events.update(_judged(verdict))
        events.update(_suspected(verdict, is_selected=verdict.slot == item.selection.slot))
    if spared := sum(_was_spared(item, candidate.slot) for candidate in item.settled.candidates()):
        events["judge.spared"] = spared
    return events


def _judged(verdict: Verdict) -> list[str]:
    """`judge.asked` is a comparison; `judge.orders.*`: whether its two orders agree, or what the judge leant to."""
    if not verdict.labels:
        return []
    side = leaning(verdict.labels)
    return ["judge.asked"] if side is None else ["judge.asked", f"judge.orders.{side}"]


def _was_spared(item: Graded, slot: int) -> bool:
    """True for a candidate that judging all would have asked about, and lazy judging did not need to."""
    return slot not in item.verdicts and not item.settled.plan.slots[slot].is_base


def _suspected(verdict: Verdict, *, is_selected: bool) -> list[str]:
    if not verdict.suspicions:
        return []
    selected = ["injection_suspect.selected"] if is_selected else []
    return ["injection_suspect", *selected, *(f"injection_suspect.{code}" for code in verdict.suspicions)]
