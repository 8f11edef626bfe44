"""Pair weights p_jk and how they learn (Eq. 8).

Law: weights are positive and sum to 1, every update makes the next version, and a version is a function of
the one before it and of the credits in commit order. So the fold of the log is the live state, bit for bit.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, Protocol

from star_agents.core.records import (
    AgentPair,
    Graded,
    PairWeights,
    RowSource,
    VerdictSource,
)

CreditRule = Literal["all", "winner"]
"""Which drawn candidates move the weights: every one whose pi is known, or the selected one alone."""

HORIZON = 17.5
"""beta * M * N of a whole run. Eq. 8 moves p like replicator dynamics, so this product alone sets how far:
17.5 gives the paper's Figure 5 (best pair 10 % -> 30 %), 100 leaves one pair, 1 moves nothing
(docs/algorithm.md section 4)."""

RESCALE_ABOVE = 1e100
"""Size of the running sum at which an update normalises early, far from overflow."""

SMALLEST = sys.float_info.min
"""A weight never underflows to 0: a pair that nothing can draw again could never recover."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What one drawn candidate earned for its pair: pi of Eq. 7, in [0, 1] where one seed normalises it."""

    pair: AgentPair
    pi: float


class UpdateRule(Protocol):
    """How a batch of credits becomes the next weights. Pure: no clock, no chance, no state."""

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """Return version + 1 over the same pairs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRule:
    """Eq. 8: p_jk += rate * pi, then normalise, once a credit in commit order.

    `floor` is the least a pair may weigh. Pairs below it are raised to it and the others share what is
    left in proportion; it is applied once a batch to the weights themselves, so it never adds up to a
    drift towards uniform.

    Raises:
        ValueError: `rate` is not positive and finite, or `floor` is negative.
    """

    rate: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError(f"the rate must be positive and finite, not {self.rate}")
        if not self.floor >= 0:
            raise ValueError(f"the floor must not be negative, not {self.floor}")

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """Return version + 1; without a positive credit p is the same object as before.

        Raises:
            ValueError: a credit names a pair without a weight, or `floor` times the pairs is not below 1.
        """
        if self.floor * len(weights.pairs) >= 1:
            raise ValueError(f"a floor of {self.floor} for each of {len(weights.pairs)} pairs leaves nothing to learn")
        earned = [credit for credit in batch if credit.pi > 0]
        p = raise_to_floor(self._reinforce(weights, earned), self.floor) if earned else weights.p
        return PairWeights(weights.version + 1, weights.pairs, p)

    def _reinforce(self, weights: PairWeights, earned: Sequence[Credit]) -> tuple[float, ...]:
        """Eq. 8 with the normalising put off: `mass / total` is p after each credit, so a batch is O(K + n)."""
        position = {pair: index for index, pair in enumerate(weights.pairs)}
        mass, total = list(weights.p), math.fsum(weights.p)
        try:
            for credit in earned:
                gain = self.rate * credit.pi * total
                mass[position[credit.pair]] += gain
                total += gain
                if total > RESCALE_ABOVE:
                    mass, total = [value / total for value in mass], 1.0
        except KeyError as error:
            raise ValueError(f"pair {error.args[0]} earned a credit and has no weight") from None
        return _normalise(mass)


def uniform(pairs: Sequence[AgentPair]) -> PairWeights:
    """Version 0: every pair as likely as any other.

    Raises:
        ValueError: there is no pair, or one is given twice.
    """
    if not pairs:
        raise ValueError("there is no pair to draw")
    if len(set(pairs)) < len(pairs):
        raise ValueError("a pair has one weight, so it is given once")
    return PairWeights(0, tuple(pairs), (1 / len(pairs),) * len(pairs))


def auto_rate(pairs_per_seed: int, num_seeds: int) -> float:
    """The beta that spends `HORIZON` over a run of M = `pairs_per_seed` draws for each of N = `num_seeds` seeds.

    Raises:
        ValueError: either is below 1.
    """
    if pairs_per_seed < 1 or num_seeds < 1:
        raise ValueError(f"a rate needs at least one pair and one seed, not {pairs_per_seed} and {num_seeds}")
    return HORIZON / (pairs_per_seed * num_seeds)


def credits(graded: Iterable[Graded], *, credit: CreditRule = "all") -> tuple[Credit, ...]:
    """What finished seeds teach, in commit order and within a seed in slot order.

    Only drawn candidates whose pi is known exactly: base pairs carry no weight, a failure tells nothing of
    quality, a candidate that lazy judging never asked about has no pi, and a judge's call that failed made a
    tie of what nobody judged: faults of the infrastructure never move p.
    """
    return tuple(
        Credit(slot.pair, grade.pi)
        for item in graded
        for slot, grade in zip(item.settled.plan.slots, item.grades, strict=True)
        if grade.pi is not None
        and not slot.is_base
        and not _was_judge_down(item, slot.number)
        and (credit == "all" or _is_winner(item, slot.number))
    )


def _was_judge_down(item: Graded, slot: int) -> bool:
    return slot in item.verdicts and item.verdicts[slot].source is VerdictSource.FAILED


def _is_winner(item: Graded, slot: int) -> bool:
    return item.selection.source is RowSource.CANDIDATE and item.selection.slot == slot


def fold(start: PairWeights, batches: Iterable[Sequence[Credit]], rule: UpdateRule) -> PairWeights:
    """The weights that a log of batches leads to: equal to the live state, bit for bit."""
    return reduce(rule.update, batches, start)


def raise_to_floor(p: Sequence[float], floor: float) -> tuple[float, ...]:
    """Raise what is below `floor` to it and scale the rest into the remaining mass, so that all sums to 1.

    Scaling may push another weight under, so the smallest go first, one by one, until none is left
    below; the largest never is, as `floor * len(p) < 1`. Each step lowers the scale, so what was raised stays.
    """
    if min(p) >= floor:
        return tuple(p)
    free_mass, scale = math.fsum(p), 1.0
    for num_raised, value in enumerate(sorted(p)[:-1], start=1):
        if value * scale >= floor:
            break
        free_mass -= value
        scale = (1 - floor * num_raised) / free_mass
    return tuple(max(value * scale, floor) for value in p)


def _normalise(mass: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(mass)
    return tuple(max(value / total, SMALLEST) for value in mass)
