"""Thompson sampling with Beta posteriors that forget (Agrawal and Goyal 2012; Raj and Kalyani 2017).

Law: a credit of pi adds pi to its pair's successes and 1 - pi to its failures, after every count of every pair
has been multiplied by `discount`; p_a is the probability, under the posteriors Beta(1 + s_a, 1 + f_a), that a is
the best pair. So the order of credits matters as far as the discount does, and a batch may be split anywhere.

Why p and not a sample of each posterior for each seed: a pair that is drawn by p is drawn as often as the
textbook's sample would draw it, and p is a number that is known before the draw, so the stored propensity is
exact. What a sample of the posteriors chose has a probability that is an integral nobody computed. That p itself
comes from a quadrature takes nothing from this: draws are by p, whatever p is. After the first draw of a seed the
others follow p without what is drawn already.

The state is (s_a, f_a), pair by pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from star_agents.core.records import PairWeights
from star_agents.policy.chance_of_best import Vector, chance_of_best
from star_agents.policy.credits import Credit
from star_agents.policy.weights import SMALLEST, check_floor, positions, raise_to_floor

CREDITS_KEPT = 100
"""Credits a pair, over all pairs, that `auto` remembers: enough to tell means apart that differ by 0.1."""

_COUNTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ThompsonRule:
    """`discount` is what is left of all evidence after one more credit, in (0, 1]; 1 forgets nothing.

    `floor` is applied to p and never to the counts.

    Raises:
        ValueError: `discount` is not in (0, 1], or `floor` is negative.
    """

    discount: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.discount <= 1:
            raise ValueError(f"the discount must be above 0 and at most 1, not {self.discount}")
        check_floor(self.floor)

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """See `UpdateRule`; without a credit p and the state are the same objects as before."""
        check_floor(self.floor, len(weights.pairs))
        seen = [credit for credit in batch if credit.is_known]
        if not seen:
            return PairWeights(weights.version + 1, weights.pairs, weights.p, weights.state)
        counts = self._counts(weights, seen)
        chance = chance_of_best(1.0 + counts[0], 1.0 + counts[1]).tolist()
        state = tuple(counts.T.ravel().tolist())
        p = raise_to_floor(chance, max(self.floor, SMALLEST))
        return PairWeights(weights.version + 1, weights.pairs, p, state)

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:
        """No evidence: from the next batch on its posterior speaks, which is as wide as can be."""
        return (0.0, 0.0) if weights.state else ()

    def _counts(self, weights: PairWeights, batch: Sequence[Credit]) -> Vector:
        """Successes in row 0 and failures in row 1. A running product, as powers differ from machine to machine."""
        num_pairs = len(weights.pairs)
        left = np.full(len(batch) + 1, self.discount)
        left[0] = 1.0
        left = np.multiply.accumulate(left)
        places = np.array(positions(weights.pairs, batch))
        pi = np.minimum(np.array([credit.pi for credit in batch]), 1.0)
        worth = left[-2::-1]  # of the credits in their order: the last counts in full
        gained = [np.bincount(places, worth * part, num_pairs) for part in (pi, 1.0 - pi)]
        counts: Vector = _known(weights) * left[-1] + np.stack(gained)
        return counts


def auto_discount(num_pairs: int) -> float:
    """The discount that remembers about `CREDITS_KEPT` credits for each pair."""
    return 1 - 1 / (CREDITS_KEPT * num_pairs)


def _known(weights: PairWeights) -> Vector:
    num_pairs = len(weights.pairs)
    if not weights.state:
        return np.zeros((_COUNTS, num_pairs))
    if len(weights.state) != _COUNTS * num_pairs:
        raise ValueError(f"{len(weights.state)} numbers for {num_pairs} pairs are no state of thompson")
    return np.array(weights.state).reshape(num_pairs, _COUNTS).T
