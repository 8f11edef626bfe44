"""Pair weights p_jk: what every rule of learning keeps, and the paper's rule (Eq. 8).

Law: weights are positive and sum to 1, every update makes the next version, and a version is a function of
the one before it and of the credits in commit order. So the fold of the log is the live state, bit for bit:
whatever a rule knows beside p is in the version itself (`PairWeights.state`), never in the rule.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from star_agents.core.records import AgentPair, PairWeights
from star_agents.policy.credits import Credit

HORIZON = 17.5
"""beta * M * N of a whole run. Eq. 8 moves p like replicator dynamics, so this product alone sets how far:
17.5 gives the paper's Figure 5 (best pair 10 % -> 30 %), 100 leaves one pair, 1 moves nothing
(docs/algorithm.md section 4)."""

RESCALE_ABOVE = 1e100
"""Size of the running sum at which an update normalises early, far from overflow."""

SMALLEST = sys.float_info.min
"""A weight never underflows to 0: a pair that nothing can draw again could never recover."""


class UpdateRule(Protocol):
    """How a batch of credits becomes the next weights. Pure: no clock, no chance, no state of its own."""

    @property
    def floor(self) -> float:
        """The least a pair may weigh."""
        ...

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """Return version + 1 over the same pairs. An empty `weights.state` is that of a run that has learnt nothing.

        A credit whose pi is not known teaches nothing, unless the rule says what it stands for.

        Raises:
            ValueError: a credit names a pair without a weight, or `floor` times the pairs is not below 1.
        """
        ...

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:
        """The state that a pair has which joins these weights; empty where `weights.state` is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRule:
    """Eq. 8: p_jk += rate * pi, then normalise, once a credit in commit order. It keeps no state.

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
        check_floor(self.floor)

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """See `UpdateRule`; without a positive credit p is the same object as before."""
        check_floor(self.floor, len(weights.pairs))
        earned = [credit for credit in batch if credit.pi > 0]
        p = raise_to_floor(self._reinforce(weights, earned), self.floor) if earned else weights.p
        return PairWeights(weights.version + 1, weights.pairs, p)

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:  # noqa: ARG002  # as the protocol has it
        """Nothing: p is all there is."""
        return ()

    def _reinforce(self, weights: PairWeights, earned: Sequence[Credit]) -> tuple[float, ...]:
        """Eq. 8 with the normalising put off: `mass / total` is p after each credit, so a batch is O(K + n)."""
        mass, total = list(weights.p), math.fsum(weights.p)
        for index, credit in zip(positions(weights.pairs, earned), earned, strict=True):
            gain = self.rate * credit.pi * total
            mass[index] += gain
            total += gain
            if total > RESCALE_ABOVE:
                mass, total = [value / total for value in mass], 1.0
        return normalised(mass)


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


def fold(start: PairWeights, batches: Iterable[Sequence[Credit]], rule: UpdateRule) -> PairWeights:
    """The weights that a log of batches leads to: equal to the live state, bit for bit.

    A log in which the pool changed is folded by `policy.epochs.fold`.
    """
    return reduce(rule.update, batches, start)


def positions(pairs: Sequence[AgentPair], batch: Sequence[Credit]) -> list[int]:
    """The place of each credit's pair among `pairs`.

    Plans hold the very objects that the weights do, so most are found by identity, a tenth of the time that
    hashing two names takes; the others (read back from a store) by value.

    Raises:
        ValueError: one of them has none.
    """
    by_identity = {id(pair): index for index, pair in enumerate(pairs)}
    places = [by_identity.get(id(credit.pair), -1) for credit in batch]
    if -1 in places:
        by_value = {pair: index for index, pair in enumerate(pairs)}
        try:
            return [by_value[credit.pair] for credit in batch]
        except KeyError as error:
            raise ValueError(f"pair {error.args[0]} earned a credit and has no weight") from None
    return places


def check_floor(floor: float, num_pairs: int = 0) -> None:
    """Refuse a floor that is none, or that takes the whole mass.

    Raises:
        ValueError: so it is.
    """
    if not floor >= 0:
        raise ValueError(f"the floor must not be negative, not {floor}")
    if floor * num_pairs >= 1:
        raise ValueError(f"a floor of {floor} for each of {num_pairs} pairs leaves nothing to learn")


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
    return tuple([scaled if (scaled := value * scale) > floor else floor for value in p])


def normalised(mass: Sequence[float]) -> tuple[float, ...]:
    """The same proportions with a sum of 1 and nothing below `SMALLEST`."""
    total = math.fsum(mass)
    return tuple([p if (p := value / total) > SMALLEST else SMALLEST for value in mass])
