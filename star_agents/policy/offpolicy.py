"""What a log can tell of a rule that did not draw it: IPS, self-normalised and doubly robust, with intervals.

Law: an estimate comes with its interval and its effective sample size, or not at all: where the log cannot tell, the
reasons come instead.

What is estimated: the mean reward of a drawn candidate, over the seeds of the log, had each been drawn from the
version that the rule had reached by then (`retrace`): the value of versions that learnt from this log. Seed i gives a
term x_i whose mean, given the past, is its value v_i, so the x_i - v_i are martingale differences:

- IPS: the weighted rewards of its draws (Horvitz and Thompson 1952). Unbiased; wide where weights are uneven.
- SNIPS: their sum over the sum of the weights (Swaminathan and Joachims 2015). Biased by about 1 / n; narrower.
- DR: what a model expects of the rule's draws, plus the weighted errors of the model at those that were made
  (Jiang and Li 2016). Unbiased whatever the model, if it knows the past only; narrow where the model is good.

A weight is that of a seed's draws together, so what its candidates do to each other's reward (Eq. 5 divides by the best
gap) is as it would be under the rule. Weights of single draws spread far less, and are blind to that.

Intervals are normal at 95 %, by the central limit theorem for martingales, with the spread of the x_i between seeds:
a seed is one observation, however many draws it has. The spread of the v_i is in it, so they are a little wide.

Rewards that are not known because a call failed are taken for the pair's others: those that are known count for one
over the share of the pair's draws that is. What lazy judging left out is not like the others, and is refused.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import numpy as np
import numpy.typing as npt

from star_agents.core.records import AgentPair
from star_agents.policy.evidence import Evidence, refusals
from star_agents.policy.logged import LoggedSeed
from star_agents.policy.retrace import TracedSeed

Z = 1.96
"""Standard errors to each side of a 95 % interval."""

Per = Literal["seed", "draw"]
"""What is weighed as one. Draws of a seed are independent of what else is drawn there only where their rewards are."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward, or a difference of two, with its standard error and 95 % interval."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - Z * self.error

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + Z * self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Estimates of the rule's value, the value of what the run drew itself, and the difference by DR.

    With `refusals` the evidence does not bear the estimates; they are there for the curious.
    """

    ips: Estimate
    snips: Estimate
    dr: Estimate
    logged: Estimate
    gain: Estimate
    evidence: Evidence
    refusals: tuple[str, ...]


class KnownShares:
    """The share of each pair's draws whose reward is known."""

    def __init__(self, seeds: Iterable[LoggedSeed]) -> None:
        self._draws: dict[AgentPair, int] = {}
        self._known: dict[AgentPair, int] = {}
        for seed in seeds:
            for draw in seed.draws:
                pair = draw.slot.pair
                self._draws[pair] = self._draws.get(pair, 0) + 1
                self._known[pair] = self._known.get(pair, 0) + (draw.reward is not None)

    def of(self, pair: AgentPair) -> float:
        """The share of one pair; 0 where no reward of it is known."""
        return self._known.get(pair, 0) / self._draws[pair] if pair in self._draws else 0.0

    @property
    def seen(self) -> frozenset[AgentPair]:
        """Pairs of which at least one reward is known."""
        return frozenset(pair for pair, known in self._known.items() if known)

    @property
    def total(self) -> float:
        """The share of all draws."""
        draws = sum(self._draws.values())
        return sum(self._known.values()) / draws if draws else 0.0


@dataclass(frozen=True, slots=True)
class _Term:
    """The means over one seed's draws; the last three are of weights that make up for what is not known."""

    dr: float
    weight: float
    ips: float
    own: float
    own_weight: float


class Estimation:
    """Takes seeds in, one by one, and answers at the end. `clip` is the most that a weight may be.

    `per` seed, every draw has the weight of the whole seed; per draw, that of what was drawn up to it.
    """

    def __init__(self, known: KnownShares, clip: float, *, per: Per = "seed") -> None:
        self._known = known
        self._clip = clip
        self._per = per
        self._terms: list[_Term] = []
        self._ratios: list[float] = []
        self._draws = 0
        self._num_unjudged = 0

    def add(self, traced: TracedSeed) -> None:
        """Take in a seed; one that drew nothing says nothing."""
        if traced.draws:
            ratios = [one.ratio for one in traced.draws] if self._per == "draw" else [traced.ratio]
            self._terms.append(self._term(traced, [min(ratio, self._clip) for ratio in ratios]))
            self._ratios += ratios
            self._draws += len(traced.draws)
            self._num_unjudged += sum(one.draw.is_unjudged for one in traced.draws)

    def answer(self, pairs: Sequence[AgentPair], mass: Vector) -> Answer | None:
        """What the seeds tell, or None where there are fewer than two; `mass` is the rule's expected draws by pair."""
        if len(self._terms) < 2:  # noqa: PLR2004  # a spread needs two
            return None
        dr, weight, ips, own, own_weight = np.array(
            [(term.dr, term.weight, term.ips, term.own, term.own_weight) for term in self._terms]
        ).T
        evidence = self._evidence(weight, pairs, mass)
        return Answer(
            ips=_mean(ips),
            snips=_ratio(ips, weight),
            dr=_mean(dr),
            logged=_ratio(own, own_weight),
            gain=_mean(dr - own),
            evidence=evidence,
            refusals=tuple(refusals(evidence)),
        )

    def _term(self, traced: TracedSeed, weights: Sequence[float]) -> _Term:
        """Means over the draws of one seed; one weight is that of all of them."""
        rows = []
        for one, kept in zip(traced.draws, cycle(weights), strict=False):
            reward = one.draw.reward
            worth = 0.0 if reward is None else 1 / self._known.of(one.draw.slot.pair)
            earned, error = (0.0, 0.0) if reward is None else (reward, reward - one.predicted)
            weight = kept * worth
            rows.append((one.before * one.expected + weight * error, weight, weight * earned, worth * earned, worth))
        return _Term(*(math.fsum(column) / len(rows) for column in zip(*rows, strict=True)))

    def _evidence(self, weight: Vector, pairs: Sequence[AgentPair], mass: Vector) -> Evidence:
        ratios = np.array(self._ratios)
        kept = np.minimum(ratios, self._clip)
        of_unseen = [float(part) for pair, part in zip(pairs, mass, strict=True) if pair not in self._known.seen]
        unseen = [pair for pair, part in zip(pairs, mass, strict=True) if part > 0 and pair not in self._known.seen]
        mean = _mean(weight)
        return Evidence(
            seeds=len(self._terms),
            draws=self._draws,
            effective_seeds=_share(weight.sum() ** 2, (weight**2).sum()),
            mean_weight=mean.value,
            mean_weight_error=mean.error,
            largest_ratio=float(ratios.max()),
            clipped=int((ratios > self._clip).sum()),
            clipped_share=_share((ratios - kept).sum(), ratios.sum()),
            known_share=self._known.total,
            unjudged_share=_share(self._num_unjudged, self._draws),
            unseen_share=_share(math.fsum(of_unseen), mass.sum()),
            unseen=tuple(unseen),
        )


def _mean(terms: Vector) -> Estimate:
    return Estimate(float(terms.mean()), float(terms.std(ddof=1)) / math.sqrt(len(terms)))


def _ratio(terms: Vector, weights: Vector) -> Estimate:
    """Sum over sum, with the error of its linearisation (delta method)."""
    mean = float(weights.mean())
    if not mean:
        return Estimate(0.0, math.inf)
    value = float(terms.mean()) / mean
    return Estimate(value, _mean((terms - value * weights) / mean).error)


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0
