"""What finished seeds teach: one credit for each drawn candidate whose reward is known.

Law: a credit is a function of its seed's record alone, and a seed's credits come in slot order. Faults of the
infrastructure earn nothing: a call that failed, a candidate nobody judged, a cost nobody knows are no credit. Where
faults are told (`CreditOptions.faults`) they are credits whose pi is not known, for `policy.absence` to fill.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from star_agents.core.calls import Failure
from star_agents.core.errors import BadRequestError, EndpointError, MisdirectedError, reasons
from star_agents.core.records import AgentPair, Candidate, Graded, Outcome, RowSource, Slot, VerdictSource

CreditRule = Literal["all", "winner"]
"""Which drawn candidates move the weights: every one whose pi is known, or the selected one alone."""

FAULTS = reasons(EndpointError) - reasons(BadRequestError) - reasons(MisdirectedError)
"""Reasons of failures that say nothing of the agent: the same call may well succeed another time. A request that is
refused for what is in it, and an answer that is empty, filtered or endless, are the agent's own."""

Cost = Callable[[Candidate], float | None]
"""What making a candidate cost, in one unit for the whole run; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What one drawn candidate earned for its pair: `pi`, in [0, 1], of Eq. 7 or per cost.

    Summed over the credits of a seed, `pi * importance` is an unbiased estimate of what each pair would have
    earned there (see `importances`); only rules that are built on such an estimate look at it. Of a draw that a
    fault took `pi` is not known, and 0.
    """

    pair: AgentPair
    pi: float
    importance: float = 1.0
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditOptions:
    """`replacement` says how the seeds were drawn (Eq. 3); with `cost` a credit is quality per cost.

    With `faults` the draws that a fault took are told as well; where the winner alone teaches they never are, as
    nobody knows whether they would have won.
    """

    credit: CreditRule = "all"
    replacement: bool = False
    cost: Cost | None = None
    faults: bool = False


DEFAULT = CreditOptions()


def credits(graded: Iterable[Graded], options: CreditOptions = DEFAULT) -> tuple[Credit, ...]:
    """What finished seeds teach, in commit order and within a seed in slot order."""
    return tuple(credit for item in graded for credit in by_slot(item, options).values())


def by_slot(item: Graded, options: CreditOptions = DEFAULT) -> dict[int, Credit]:
    """The credits of one seed by slot, in slot order.

    Only drawn candidates whose pi is known exactly: base pairs carry no weight, a failure tells nothing of
    quality, a candidate that lazy judging never asked about has no pi, and a judge's call that failed made a
    tie of what nobody judged: faults of the infrastructure never move p.
    """
    slots = item.settled.plan.slots
    factors = importances(slots, replacement=options.replacement)
    thrift = None if options.cost is None else thrifts(item.settled.outcomes, options.cost)
    earned = {}
    for slot, grade in zip(slots, item.grades, strict=True):
        share = 1.0 if thrift is None else thrift.get(slot.number)
        if share is not None and grade.pi is not None and _teaches(item, slot, options):
            earned[slot.number] = Credit(slot.pair, grade.pi * share, factors[slot.number])
        elif options.faults and options.credit == "all" and not slot.is_base and _took_fault(item, slot.number):
            earned[slot.number] = Credit(slot.pair, 0.0, factors[slot.number], is_known=False)
    return earned


def importances(slots: Sequence[Slot], *, replacement: bool) -> dict[int, float]:
    """By drawn slot, the factor that makes its reward an unbiased estimate for its pair.

    Draw r of n from one urn had the stored probability q. With replacement every draw estimates each pair of
    the urn by 1{drawn} x / q, and their mean is 1 / (n q). Without it a draw after r knows the reward of r
    already, as its pair is out of the urn: the ordered estimator of Des Raj (1956), (1/q + n - 1 - r) / n. The
    pool and the outside are urns of their own; q is that of the draw, so weights that were newer by the time
    of learning, a mask or a lean to idle endpoints are all accounted for.
    """
    factors = {}
    for from_memory in (True, False):
        urn = [slot for slot in slots if not slot.is_base and slot.from_memory is from_memory]
        for rank, slot in enumerate(urn):
            known_after = 0 if replacement else len(urn) - 1 - rank
            factors[slot.number] = (1 / slot.propensity + known_after) / len(urn)
    return factors


def thrifts(outcomes: Sequence[Outcome], cost: Cost) -> dict[int, float]:
    """By slot, the cost of the seed's cheapest candidate over the slot's own: 1 for the cheapest, above 0.

    All candidates whose cost is known compete, base included, so that the yardstick does not depend on what
    was drawn. Slots of unknown cost are left out. Where the cheapest was free, the others count for 0.
    """
    known = {}
    for outcome in outcomes:
        price = cost(outcome) if isinstance(outcome, Candidate) else None
        if price is not None:
            known[outcome.slot] = price
    cheapest = min(known.values(), default=0.0)
    return {slot: cheapest / price if price else 1.0 for slot, price in known.items()}


def _teaches(item: Graded, slot: Slot, options: CreditOptions) -> bool:
    """Whether a slot's pi, if it is known, is for its pair to learn from."""
    if slot.is_base or _was_judge_down(item, slot.number):
        return False
    return options.credit == "all" or _is_winner(item, slot.number)


def _took_fault(item: Graded, slot: int) -> bool:
    """Whether an endpoint took a draw, or the judge's its verdict: what was asked and answered had no part in it."""
    outcome = item.settled.outcomes[slot]
    return outcome.reason in FAULTS if isinstance(outcome, Failure) else _was_judge_down(item, slot)


def _was_judge_down(item: Graded, slot: int) -> bool:
    return slot in item.verdicts and item.verdicts[slot].source is VerdictSource.FAILED


def _is_winner(item: Graded, slot: int) -> bool:
    return item.selection.source is RowSource.CANDIDATE and item.selection.slot == slot
