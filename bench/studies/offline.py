"""Replay beside the laboratory's truth: logs of one rule, what they tell of another, and what that one is truly worth.

The truth of a log is the mean reward of what the other rule would have drawn there: for each seed, draws by the real
sampling from the weights that replay retraced, each worth what its pair earns on this kind of task in runs of that
rule itself. The laboratory draws those runs anew, so nothing in the truth comes from the log but weights, pools and
masks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean

from bench.studies.study import Arm
from star_agents.core import rng
from star_agents.core.records import AgentPair, PairWeights
from star_agents.lab.ledger import Ledger
from star_agents.lab.trial import Laboratory
from star_agents.lab.virtual import run_virtual
from star_agents.policy.logged import LoggedSeed, LoggedStep, logged
from star_agents.policy.offpolicy import Answer, Estimate, Per
from star_agents.policy.retrace import TracedSeed
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.weights import uniform
from star_agents.service.config import learning
from star_agents.service.replay import ESTIMATES, Question, Recorded, replay

OWN_RUNS = 100_000
"""Numbers of the runs that the truth is taken from begin here: none of them is a log's."""

DRAWS = 10
"""Draws of a seed that its truth is a mean of: over a run their chance is a hundredth of an interval."""

Kind = tuple[AgentPair, int]
"""A pair at a kind of task."""

Table = Mapping[Kind, float]
"""What pairs are worth, by kind of task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A world, the rule that makes the logs, the question, and the rule in question as settings of a run of its own."""

    name: str
    world: tuple[str, ...] = ()
    logging: tuple[str, ...]
    question: Question
    own: tuple[str, ...]

    def laboratory(self, *, own: bool) -> Laboratory:
        """Where the rule in question draws, or that of the logs."""
        return _laboratory((*self.world, *(self.own if own else self.logging)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What replay says of one log, and by estimate the truth of it, as far as it is known."""

    refusals: tuple[str, ...]
    effective_seeds: float
    estimates: Mapping[str, Estimate]
    truth: Mapping[str, float]


@dataclass(slots=True)
class Sums:
    """Rewards that were seen, by kind."""

    total: dict[Kind, float] = field(default_factory=dict)
    count: dict[Kind, int] = field(default_factory=dict)

    def see(self, kind: Kind, reward: float, times: int = 1) -> None:
        """Take in so many rewards that add up to `reward`."""
        self.total[kind] = self.total.get(kind, 0.0) + reward
        self.count[kind] = self.count.get(kind, 0) + times


@lru_cache(maxsize=4)
def _laboratory(assignments: tuple[str, ...]) -> Laboratory:
    return Laboratory.build(Arm("", assignments).settings())


def simulated(laboratory: Laboratory, number: int) -> Ledger:
    """A run with its log."""
    settings = laboratory.settings_of(number)
    ledger = Ledger(laboratory.world, replacement=settings.sampling.replacement, keep_log=True)
    run_virtual(laboratory.simulate(settings, ledger))
    return ledger


def recorded(laboratory: Laboratory, number: int) -> tuple[Recorded, dict[int, PairWeights]]:
    """A simulated run as its database would tell it, and its weights by version."""
    settings, ledger = laboratory.settings_of(number), simulated(laboratory, number)
    options = learning.crediting_of(settings)
    log = tuple(
        LoggedStep(update.weights.version, tuple(logged(item, options) for item in update.graded))
        for update in ledger.log
    )
    pairs, weights = laboratory.inputs.pool, ledger.log[-1].weights
    history = {0: uniform(pairs)} | {update.weights.version: update.weights for update in ledger.log}
    return Recorded(settings=settings, pairs=pairs, log=log, weights=weights), history


def seen(case: Case, number: int, *, own: bool) -> Sums:
    """What pairs earned in one run, of the rule in question or of that of the logs."""
    laboratory, sums = case.laboratory(own=own), Sums()
    run, _ = recorded(laboratory, OWN_RUNS + number)
    for seed in (seed for step in run.log for seed in step.seeds):
        kind = laboratory.world.cluster_of(seed.number)
        for one in seed.draws:
            if one.reward is not None:
                sums.see((one.slot.pair, kind), one.reward)
    return sums


def table(runs: Iterable[Sums]) -> Table:
    """Means over runs."""
    sums = Sums()
    for run in runs:
        for kind, times in run.count.items():
            sums.see(kind, run.total[kind], times)
    return {kind: total / sums.count[kind] for kind, total in sums.total.items()}


def told(case: Case, own: Table, others: Table, number: int) -> dict[Per, Told]:
    """Ask one log; `own` is what pairs are worth under the rule in question, `others` under that of the logs."""
    laboratory, traced = case.laboratory(own=False), list[TracedSeed]()
    log, history = recorded(laboratory, number)
    answers: dict[Per, Answer | None] = {
        "seed": replay(log, replace(case.question, per="seed"), traced.append).answer,
        "draw": replay(log, replace(case.question, per="draw")).answer,
    }
    value = fmean(_value(laboratory, seed.seed, seed.weights, own) for seed in traced)
    truth = {"ips": value, "snips": value, "dr": value}
    if not log.settings.sampling.capacity_aware:  # else draws were not by the weights of their version alone
        truth["gain"] = value - fmean(
            _value(laboratory, seed.seed, history[seed.seed.version], others) for seed in traced
        )
    return {per: _told(answer, truth) for per, answer in answers.items()}


def _told(answer: Answer | None, truth: Mapping[str, float]) -> Told:
    if answer is None:
        raise RuntimeError("a log of the laboratory holds nothing")
    return Told(
        refusals=answer.refusals,
        effective_seeds=answer.evidence.effective_seeds,
        estimates={name: getattr(answer, name) for name in ESTIMATES},
        truth=truth,
    )


def _value(laboratory: Laboratory, seed: LoggedSeed, weights: PairWeights, worth: Table) -> float:
    """What a draw for this seed is worth on average; a pair that no run drew is worth nothing, for none would."""
    sampling, kind = laboratory.settings.sampling, laboratory.world.cluster_of(seed.number)
    options = DrawOptions(
        pairs_per_seed=sampling.pairs_per_seed, from_memory=sampling.from_memory, replacement=sampling.replacement
    )
    chance = rng.derive(laboratory.settings.run.seed, "truth", seed.number)
    found = []
    for _ in range(DRAWS):
        slots = draw(weights, base=(), pool=seed.pool, masked=seed.barred, options=options, rng=chance)
        found += [worth.get((slot.pair, kind), 0.0) for slot in slots]
    return fmean(found)
