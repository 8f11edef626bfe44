"""Exp3 (Auer, Cesa-Bianchi, Freund and Schapire 2002, section 3): exponential weights over estimated rewards.

Law: w_a *= exp(rate * x_a / K) where x_a is an unbiased estimate of what pair a earns on a seed, and
p_a = (1 - rate) * w_a / sum(w) + rate / K. The textbook's round is a seed here: its several draws make one
estimate, by the propensities that were stored with them (`policy.credits.importances`). Rewards that are not
known count as 0. The sum of exponents does not care in what order the credits come, up to rounding.

The state is ln w of each pair, the largest 0. It could not be had back from p: a pair that fell far behind has
p = rate / K to the last bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from star_agents.core.records import PairWeights
from star_agents.policy.credits import Credit
from star_agents.policy.weights import check_floor, positions, raise_to_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp3Rule:
    """`rate` is the textbook's gamma, in (0, 1]: the share of p that explores, and K times the step.

    `floor` is applied to p and never to w, so it does not add up; where it is below rate / K it changes nothing.

    Raises:
        ValueError: `rate` is not in (0, 1], or `floor` is negative.
    """

    rate: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"the rate of exp3 must be above 0 and at most 1, not {self.rate}")
        check_floor(self.floor)

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """See `UpdateRule`; without a positive credit p and the state are the same objects as before."""
        num_pairs = len(weights.pairs)
        check_floor(self.floor, num_pairs)
        earned = [credit for credit in batch if credit.pi > 0]
        if not earned:
            return PairWeights(weights.version + 1, weights.pairs, weights.p, weights.state)
        estimates = [0.0] * num_pairs
        for index, credit in zip(positions(weights.pairs, earned), earned, strict=True):
            estimates[index] += credit.pi * credit.importance
        step = self.rate / num_pairs
        log_w = [log + step * x for log, x in zip(_log_weights(weights), estimates, strict=True)]
        largest = max(log_w)
        state = tuple(log - largest for log in log_w)
        return PairWeights(weights.version + 1, weights.pairs, self._mixed(state), state)

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:
        """The logarithm of the mean w."""
        if not weights.state:
            return ()
        return (math.log(math.fsum(map(math.exp, weights.state)) / len(weights.state)),)

    def _mixed(self, log_w: Sequence[float]) -> tuple[float, ...]:
        w = [math.exp(log) for log in log_w]
        scale, least = (1 - self.rate) / math.fsum(w), self.rate / len(w)
        return raise_to_floor([scale * value + least for value in w], self.floor)


def auto_rate(num_pairs: int, num_seeds: int) -> float:
    """The gamma of corollary 3.2 for a gain of at most `num_seeds`: min(1, sqrt(K ln K / ((e - 1) N))).

    One pair has nothing to explore; it gets the rate of two.

    Raises:
        ValueError: either is below 1.
    """
    if num_pairs < 1 or num_seeds < 1:
        raise ValueError(f"a rate needs at least one pair and one seed, not {num_pairs} and {num_seeds}")
    num_pairs = max(num_pairs, 2)
    return min(1.0, math.sqrt(num_pairs * math.log(num_pairs) / ((math.e - 1) * num_seeds)))


def _log_weights(weights: PairWeights) -> Sequence[float]:
    if not weights.state:
        return [0.0] * len(weights.pairs)
    if len(weights.state) != len(weights.pairs):
        raise ValueError(f"{len(weights.state)} numbers for {len(weights.pairs)} pairs are no state of exp3")
    return weights.state
