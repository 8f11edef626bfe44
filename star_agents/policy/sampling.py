"""Drawing the pairs of one seed (Eq. 3, docs/algorithm.md sections 1 and 4).

Law: a draw is a function of its arguments and of its own generator, and the propensity stored with every
slot is exactly the probability of that draw given those before it. A pair that is masked, or whose weight
is 0, has no probability; base pairs are always asked and are never drawn.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from random import Random

from star_agents.core.records import AgentPair, PairWeights, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOptions:
    """M = `pairs_per_seed` pairs are drawn for a seed, l = `from_memory` of them from the memory bank's pool.

    Without replacement no pair comes twice; with it draws are i.i.d., as Eq. 3 has them.
    """

    pairs_per_seed: int
    from_memory: int = 0
    replacement: bool = False


def draw(
    weights: PairWeights,
    *,
    base: Sequence[AgentPair],
    pool: Collection[AgentPair],
    masked: Collection[AgentPair],
    options: DrawOptions,
    rng: Random,
) -> tuple[Slot, ...]:
    """The slots of one seed: base pairs first, then those drawn from `pool`, then those from outside it.

    Each of the two sets is drawn by p renormalised over what it holds. A pool smaller than l gives what
    it has; an outside too small to fill M lets the pool give more. Where fewer than M pairs can be had,
    there are fewer slots.
    """
    inside, outside = _urns(weights, frozenset(pool), frozenset((*base, *masked)))
    from_pool, from_outside = _shares(len(inside), len(outside), options)
    numbers = count()
    slots = [Slot(next(numbers), pair, is_base=True) for pair in base]
    for urn, times, from_memory in ((inside, from_pool, True), (outside, from_outside, False)):
        for pair, propensity in urn.take(times, replacement=options.replacement, rng=rng):
            slots.append(Slot(next(numbers), pair, propensity=propensity, from_memory=from_memory))
    return tuple(slots)


class _Urn:
    """Pairs with their mass; draws are in proportion to it."""

    def __init__(self) -> None:
        self._pairs: list[AgentPair] = []
        self._mass: list[float] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, pair: AgentPair, mass: float) -> None:
        self._pairs.append(pair)
        self._mass.append(mass)

    def take(self, times: int, *, replacement: bool, rng: Random) -> Iterator[tuple[AgentPair, float]]:
        """Yield a pair and the probability it had, `times` times.

        Without replacement this is the sequential law of Plackett and Luce, which Gumbel top-k also
        draws from. It uses `Random.random` alone: its stream is the one Python promises to keep.
        """
        for _ in range(times):
            bounds = list(accumulate(self._mass))
            index = bisect_right(bounds, rng.random() * bounds[-1], hi=len(bounds) - 1)
            yield self._pairs[index], self._mass[index] / math.fsum(self._mass)
            if not replacement:
                del self._pairs[index], self._mass[index]


def _urns(weights: PairWeights, pool: frozenset[AgentPair], excluded: frozenset[AgentPair]) -> tuple[_Urn, _Urn]:
    """What can be drawn inside and outside the pool, in the weights' order: a set's changes with the process."""
    inside, outside = _Urn(), _Urn()
    for pair, p in zip(weights.pairs, weights.p, strict=True):
        if p > 0 and pair not in excluded:
            (inside if pair in pool else outside).add(pair, p)
    return inside, outside


def _shares(num_inside: int, num_outside: int, options: DrawOptions) -> tuple[int, int]:
    """How many of the M draws fall to the pool and how many to the outside."""
    total = options.pairs_per_seed
    from_pool = min(options.from_memory, num_inside, total)
    if options.replacement:
        return (from_pool, total - from_pool) if num_outside else (total if num_inside else 0, 0)
    from_outside = min(total - from_pool, num_outside)
    return min(total - from_outside, num_inside), from_outside
