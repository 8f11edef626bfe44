"""What another rule would have drawn along a run's log, and what it would have learnt there.

Law: the rule knows at every draw what the run knew at it, and no more; and it is taught a draw as often, in
expectation, as it would have made it. So a run's own rule is told exactly what it was told: every ratio is 1, and
its weights are those of the run, bit for bit.

A draw's ratio is the probability that the rule draws it over the probability that the run did, slot by slot: of
draws without replacement from one urn, slot r has the product over slots 1..r (per-decision importance sampling;
Precup, Sutton and Singh 2000), as each draw changes what the next can be. Pool and outside are urns of their own.

A credit is told `ratio` times: its whole part for certain and once more with the probability of the rest. So any
rule behind the port can learn from a log of another, also one that is not linear in pi.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt

from star_agents.core.records import AgentPair, PairWeights, Slot
from star_agents.policy import epochs
from star_agents.policy.credits import Credit, importances
from star_agents.policy.logged import LoggedDraw, LoggedSeed, LoggedStep, all_pairs
from star_agents.policy.reward_models import RewardModel
from star_agents.policy.weights import UpdateRule, uniform

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetraceOptions:
    """`clip` is the most that a ratio may be; `batch_size` forms batches anew, None keeps those of the run."""

    replacement: bool = False
    clip: float = 20.0
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class TracedDraw:
    """One drawn slot as the other rule sees it.

    `chance` is its probability of this draw given those before it in the urn, `ratio` the importance of the draw
    before clipping and `weight` after; `before` is the weight of what came before it. `expected` is what the reward
    model expects of the rule's draw here, and `predicted` of the draw that was made.
    """

    draw: LoggedDraw
    chance: float
    ratio: float
    weight: float
    before: float
    expected: float
    predicted: float


@dataclass(frozen=True, slots=True)
class TracedSeed:
    """One seed of the log, in commit order; `weights` are those that the rule would have drawn from."""

    seed: LoggedSeed
    weights: PairWeights
    draws: tuple[TracedDraw, ...]

    @property
    def ratio(self) -> float:
        """The probability of all its draws under the rule over that under the run."""
        return math.prod(one.chance / one.draw.slot.propensity for one in self.draws)


class Retrace:
    """Walks a log once. After the walk `weights` are the last, and `mass` is what each of `pairs` was given in all."""

    def __init__(
        self,
        start: Sequence[AgentPair],
        log: Sequence[LoggedStep],
        rule: UpdateRule,
        model: RewardModel,
        options: RetraceOptions,
    ) -> None:
        self.pairs = all_pairs(start, log)
        self.weights = uniform(start)
        self.mass: Vector = np.zeros(len(self.pairs))
        """Draws of the rule that are expected, by pair."""
        self._log = log
        self._rule = rule
        self._model = model
        self._options = options
        self._places = {pair: place for place, pair in enumerate(self.pairs)}
        self._seen = {0: self._view(self.weights)}  # by version of the run: what the rule would draw from
        self._untaught: list[tuple[Credit, ...]] = []

    def walk(self, chance: Random) -> Iterator[TracedSeed]:
        """Yield every seed with its ratios. `chance` decides about the parts of credits."""
        for step in self._log:
            for seed in step.seeds:
                traced = self._trace(seed)
                self._untaught.append(self._credits(traced, chance))
                yield traced
            self._learn(step)
            for seed in step.seeds:
                self._model.learn(seed, [self._places[draw.slot.pair] for draw in seed.draws])
            self._seen[step.version] = self._view(self.weights)

    def _view(self, weights: PairWeights) -> tuple[PairWeights, Vector]:
        mass = np.zeros(len(self.pairs))
        mass[[self._places[pair] for pair in weights.pairs]] = weights.p
        return weights, mass

    def _trace(self, seed: LoggedSeed) -> TracedSeed:
        weights, mass = self._seen[seed.version]
        values = self._model.predict(seed)
        can = mass.copy()
        can[self._at(seed.barred)] = 0.0
        in_pool = np.zeros(len(can), dtype=bool)
        in_pool[self._at(seed.pool)] = True
        draws = [
            traced
            for from_memory, drawn in seed.urns()
            for traced in self._urn(np.where(in_pool == from_memory, can, 0.0), drawn, values)
        ]
        return TracedSeed(seed, weights, tuple(draws))

    def _at(self, pairs: Iterable[AgentPair]) -> list[int]:
        return [self._places[pair] for pair in pairs if pair in self._places]

    def _urn(self, mass: Vector, drawn: Sequence[LoggedDraw], values: Vector) -> Iterator[TracedDraw]:
        before = 1.0
        for draw in drawn:
            place, total = self._places[draw.slot.pair], math.fsum(mass.tolist())  # rounded once, as in `sampling`
            chances = mass / total if total > 0 else mass
            self.mass += before * chances
            chance = float(chances[place])
            ratio = before * (chance / draw.slot.propensity)
            weight = min(ratio, self._options.clip)
            expected, predicted = float(chances @ values), float(values[place])
            yield TracedDraw(draw, chance, ratio, weight, before, expected, predicted)
            if not self._options.replacement:
                before, mass[place] = weight, 0.0

    def _credits(self, traced: TracedSeed, chance: Random) -> tuple[Credit, ...]:
        """What the rule is taught of a seed: its own draws, as far as the log holds them."""
        made = [_as_drawn(one) for one in traced.draws if one.chance > 0]
        factors = importances(made, replacement=self._options.replacement)
        told = []
        for one in traced.draws:
            reward, number = one.draw.reward, one.draw.slot.number
            if one.draw.teaches and number in factors:
                times = int(one.weight) + (chance.random() < one.weight % 1)
                told += [Credit(one.draw.slot.pair, reward or 0.0, factors[number], reward is not None)] * times
        return tuple(told)

    def _learn(self, step: LoggedStep) -> None:
        if step.epoch is not None:
            self.weights = epochs.apply(self.weights, step.epoch, self._rule)
            return
        size = self._options.batch_size or len(self._untaught)
        while self._untaught and len(self._untaught) >= size:
            batch = [credit for credits in self._untaught[:size] for credit in credits]
            self.weights = self._rule.update(self.weights, epochs.taught(self.weights, batch))
            del self._untaught[:size]


def _as_drawn(traced: TracedDraw) -> Slot:
    """The slot as the rule would have drawn it."""
    return replace(traced.draw.slot, propensity=traced.chance)
