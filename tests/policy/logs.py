"""Made-up runs whose truth is known: draws by the real sampling, weights by the real rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from star_agents.core.records import AgentPair, PairWeights
from star_agents.policy.credits import Credit, importances
from star_agents.policy.logged import LoggedDraw, LoggedSeed, LoggedStep
from star_agents.policy.retrace import TracedSeed
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.weights import UpdateRule, uniform
from tests.policy.sets import pairs

BASE = (AgentPair("keep", "base"),)
THREE = DrawOptions(pairs_per_seed=3, from_memory=1)


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """A run of `seeds` seeds in batches; a plan sees the weights of `lag` batches ago.

    A pair's reward is 1 with the probability of its quality at the seed's kind, else 0; a share `lost` is not known;
    of that, a share `faults` because of a fault that the rule is told of.
    """

    qualities: Mapping[str, Sequence[float]]
    """By kind of seed, one a pair."""
    rule: UpdateRule
    seeds: int = 400
    batch_size: int = 16
    lag: int = 1
    options: DrawOptions = THREE
    pool_size: int = 2
    lost: float = 0.0
    faults: float = 0.0

    @property
    def pairs(self) -> tuple[AgentPair, ...]:
        return pairs(len(next(iter(self.qualities.values()))))

    def run(self, number: int) -> tuple[list[LoggedStep], list[PairWeights]]:
        """The log, and the weights after each of its steps."""
        chance = Random(number)
        history, log = [uniform(self.pairs)], list[LoggedStep]()
        while len(log) * self.batch_size < self.seeds:
            seen = history[max(0, len(history) - 1 - self.lag)]
            first = len(log) * self.batch_size
            batch = tuple(self._seed(first + place, seen, chance) for place in range(self.batch_size))
            taught = [credit for seed in batch for credit in credits_of(seed, replacement=self.options.replacement)]
            history.append(self.rule.update(history[-1], taught))
            log.append(LoggedStep(history[-1].version, batch))
        return log, history

    def _seed(self, number: int, weights: PairWeights, chance: Random) -> LoggedSeed:
        kind = chance.choice(sorted(self.qualities))
        pool = frozenset(chance.sample(self.pairs, self.pool_size))
        masked = frozenset(chance.sample(self.pairs, int(chance.random() < 0.1)))
        slots = draw(weights, base=BASE, pool=pool, masked=masked, options=self.options, rng=chance)
        draws = []
        for slot in slots[1:]:
            quality = self.qualities[kind][self.pairs.index(slot.pair)]
            reward = None if chance.random() < self.lost else float(chance.random() < quality)
            draws.append(LoggedDraw(slot, reward, reward is not None or chance.random() < self.faults))
        embedding = EMBEDDINGS[sorted(self.qualities).index(kind)]
        return LoggedSeed(number, weights.version, tuple(draws), pool, masked | frozenset(BASE), embedding)

    def truth(self, traced: TracedSeed) -> float:
        """The mean quality of what the traced weights would have drawn, exactly."""
        kind = sorted(self.qualities)[EMBEDDINGS.index(traced.seed.embedding)]
        quality = dict(zip(self.pairs, self.qualities[kind], strict=True))
        total = 0.0
        for from_memory, drawn in traced.seed.urns():
            mass = {
                pair: p
                for pair, p in zip(traced.weights.pairs, traced.weights.p, strict=True)
                if (pair in traced.seed.pool) is from_memory and pair not in traced.seed.barred
            }
            total += expected_sum(tuple(mass.items()), tuple(quality.items()), len(drawn), self.options.replacement)
        return total / len(traced.seed.draws)


EMBEDDINGS = (b"\x00\x00\x80\x3f" + b"\x00" * 4, b"\x00" * 4 + b"\x00\x00\x80\x3f")
"""Of the first kind of seed, and of the second."""


@cache
def expected_sum(
    mass: tuple[tuple[AgentPair, float], ...], quality: tuple[tuple[AgentPair, float], ...], draws: int, back: bool
) -> float:
    """The expected sum of qualities over so many draws, by looking at every order."""
    if not draws:
        return 0.0
    known, total = dict(quality), sum(p for _, p in mass)
    expected = 0.0
    for pair, p in mass:
        left = mass if back else tuple(item for item in mass if item[0] != pair)
        expected += p / total * (known[pair] + expected_sum(left, quality, draws - 1, back))
    return expected


def credits_of(seed: LoggedSeed, *, replacement: bool = False) -> Iterator[Credit]:
    """What a seed teaches the rule that drew it."""
    factors = importances([one.slot for one in seed.draws], replacement=replacement)
    for one in seed.draws:
        if one.teaches:
            yield Credit(one.slot.pair, one.reward or 0.0, factors[one.slot.number], one.reward is not None)
