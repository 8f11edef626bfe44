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

Intervals are normal at 95 %, by the central limit theorem for martingales, with the spread of the x_i between seeds:
a seed is one observation, however many draws it has. The spread of the v_i is in it, so they are a little wide.

Rewards that are not known (a failed call, a candidate that lazy judging left out) are taken for the pair's others:
those that are known count for one over the share of the pair's draws that is.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from star_agents.core.records import AgentPair
from star_agents.policy.logged import LoggedSeed
from star_agents.policy.retrace import TracedSeed

Z = 1.96
"""Standard errors to each side of a 95 % interval."""

LEAST_ESS = 100
"""Seeds that an answer rests on at least: with fewer, normal intervals are too short."""

MOST_UNSEEN = 0.01
"""Share of the rule's draws that may go to pairs which the log never drew: nothing is known of them."""

MOST_CLIPPED = 0.05
"""Share of all weight that clipping may take: what is clipped is missing from the estimate."""

MOST_OFF = 5.0
"""Standard errors that the mean weight may be off 1, where it should be by the meaning of a propensity."""

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
class Evidence:
    """What an answer rests on.

    `effective_seeds` is Kish's (sum w)^2 / sum w^2 over the weights of seeds; `mean_weight` should be 1. `clipped`
    counts draws, `clipped_share` the weight that clipping took of all; `known_share` is of the draws, and
    `unseen_share` of the rule's draws that go to `unseen` pairs, of which the log knows no reward.
    """

    seeds: int
    draws: int
    effective_seeds: float
    mean_weight: float
    mean_weight_error: float
    largest_ratio: float
    clipped: int
    clipped_share: float
    known_share: float
    unseen_share: float
    unseen: tuple[AgentPair, ...]


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
    """Takes seeds in, one by one, and answers at the end. `clip` is the bound that the weights were cut at."""

    def __init__(self, known: KnownShares, clip: float) -> None:
        self._known = known
        self._clip = clip
        self._terms: list[_Term] = []
        self._ratios: list[float] = []

    def add(self, traced: TracedSeed) -> None:
        """Take in a seed; one that drew nothing says nothing."""
        if traced.draws:
            self._terms.append(self._term(traced))
            self._ratios += [one.ratio for one in traced.draws]

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

    def _term(self, traced: TracedSeed) -> _Term:
        """Means over the draws of one seed."""
        rows = []
        for one in traced.draws:
            reward = one.draw.reward
            worth = 0.0 if reward is None else 1 / self._known.of(one.draw.slot.pair)
            earned, error = (0.0, 0.0) if reward is None else (reward, reward - one.predicted)
            weight = one.weight * worth
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
            draws=len(ratios),
            effective_seeds=_share(weight.sum() ** 2, (weight**2).sum()),
            mean_weight=mean.value,
            mean_weight_error=mean.error,
            largest_ratio=float(ratios.max()),
            clipped=int((ratios > self._clip).sum()),
            clipped_share=_share((ratios - kept).sum(), ratios.sum()),
            known_share=self._known.total,
            unseen_share=_share(math.fsum(of_unseen), mass.sum()),
            unseen=tuple(unseen),
        )


def refusals(evidence: Evidence) -> list[str]:
    """Why the evidence does not bear an answer, in words; nothing where it does."""
    found = []
    if evidence.unseen_share > MOST_UNSEEN:
        names = ", ".join(map(str, evidence.unseen))
        found.append(
            f"{evidence.unseen_share:.1%} of the rule's draws would go to pairs of which the log knows no reward"
            f" ({names}): their propensity was 0, or as good as 0; a higher evolution.floor lets a run draw them"
        )
    if evidence.effective_seeds < LEAST_ESS:
        found.append(
            f"the weights leave {evidence.effective_seeds:.0f} effective seeds of {evidence.seeds}, and {LEAST_ESS} are"
            " needed: the rule draws too differently from the run; try a lower --rate, or a longer run"
        )
    if evidence.clipped_share > MOST_CLIPPED:
        found.append(
            f"clipping takes {evidence.clipped_share:.1%} of all weight ({evidence.clipped} draws, largest ratio"
            f" {evidence.largest_ratio:.0f}): what is left is another rule's value; try a lower --rate, or more --clip"
        )
    elif abs(evidence.mean_weight - 1) > MOST_OFF * evidence.mean_weight_error + MOST_CLIPPED:
        found.append(
            f"weights average {evidence.mean_weight:.3f} where they must average 1: the stored propensities are not "
            "those of the draws, or a few draws that are missing here hold most of the weight"
        )
    return found


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
