"""How the judge does, in figures: what lazy judging saved, what could not be read, which place it leans to, its probes.

Law: counts are those of the tally, so they are durable, over all starts, and of finished seeds. What was saved is
counted against judging every candidate; the tokens of calls that were never sent are an estimate, and are called one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from star_agents.core.calls import Purpose
from star_agents.core.records import ProbeTally, Tally
from star_agents.storage.spending import Account, Spend

_JUDGING = (Purpose.JUDGE.value, Purpose.JUDGE_SWAPPED.value)


@dataclass(frozen=True, slots=True)
class JudgeStatus:
    """Comparisons are of a candidate with its base; a rate is None where there is nothing to divide by.

    `calls_spared` leaves second asks for unreadable verdicts out; `tokens_spared` is that many calls at the mean of
    those that were sent. `unparsed_rate` is of the orders that were answered, `disagreement_rate` of the comparisons
    of which both orders could be read; the two `favoured_*` are the places that those disagreements lean to.
    """

    asked: int
    spared: int
    spared_share: float | None
    calls_spared: int
    tokens_spared: int | None
    unparsed_rate: float | None
    disagreement_rate: float | None
    favoured_first: int
    favoured_second: int
    suspects: int
    suspects_selected: int
    probes: ProbeTally


def judge_status(tally: Tally, spend: Mapping[Account, Spend], *, swap: bool) -> JudgeStatus:
    """The figures of a run; `swap` as in its config."""
    events = tally.events
    asked, spared = events.get("judge.asked", 0), events.get("judge.spared", 0)
    labels = {label: events.get(f"verdict.label.{label}", 0) for label in ("win", "loss", "tie", "unparsed")}
    first, second = events.get("judge.orders.first", 0), events.get("judge.orders.second", 0)
    calls_spared = spared * (2 if swap else 1)
    return JudgeStatus(
        asked=asked,
        spared=spared,
        spared_share=_share(spared, asked + spared),
        calls_spared=calls_spared,
        tokens_spared=_at_the_mean(calls_spared, spend),
        unparsed_rate=_share(labels["unparsed"], sum(labels.values())),
        disagreement_rate=_share(first + second, first + second + events.get("judge.orders.agreed", 0)),
        favoured_first=first,
        favoured_second=second,
        suspects=events.get("injection_suspect", 0),
        suspects_selected=events.get("injection_suspect.selected", 0),
        probes=tally.probes,
    )


def recorded_swap(config: str) -> bool:
    """Whether the judge is asked in both orders, in a recorded config (`identity.record`)."""
    judge: dict[str, Any] = orjson.loads(config).get("judge", {})
    return bool(judge.get("swap", True))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _at_the_mean(calls: int, spend: Mapping[Account, Spend]) -> int | None:
    judged = sum((amount for account, amount in spend.items() if account.purpose in _JUDGING), Spend())
    return round(calls * judged.tokens / judged.calls) if judged.calls else None
