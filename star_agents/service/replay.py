"""What another rule would have earned on a run's log (docs/replay.md).

Law: the run is only read. What it had finished when the reading began is what counts, so it may go on meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from star_agents.core import rng
from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, PairWeights
from star_agents.policy.credits import CreditOptions
from star_agents.policy.fixed import FixedRule
from star_agents.policy.logged import LoggedSeed, LoggedStep, all_pairs, logged
from star_agents.policy.offpolicy import Answer, Estimate, Estimation, KnownShares, Per
from star_agents.policy.retrace import Retrace, RetraceOptions, TracedSeed
from star_agents.policy.reward_models import ClusterMeans, PairMeans, RewardModel, clusters
from star_agents.policy.weights import UpdateRule, check_floor, uniform
from star_agents.service.config import learning
from star_agents.service.config.settings import EvolutionSection, Settings
from star_agents.service.config.yaml_source import dotted
from star_agents.service.run import identity
from star_agents.storage.recovery import read_standing
from star_agents.storage.rows import iter_rows

RuleName = Literal["paper", "exp3", "thompson", "uniform"]
ModelName = Literal["auto", "pairs", "clusters"]

ESTIMATES = ("ips", "snips", "dr", "logged", "gain")
"""Of an `Answer`."""

NOTHING = "the log holds fewer than two finished seeds with a drawn pair: let the run go on for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The rule to ask about. What is None is as in the run, where that has the same rule, else the rule's default.

    `batch_size` None keeps the batches of the run; `seeds` is how long a run `auto` is for, else as long as the log.
    """

    rule: RuleName
    rate: float | None = None
    discount: float | None = None
    floor: float | None = None
    batch_size: int | None = None
    seeds: int | None = None
    clip: float = 20.0
    per: Per = "seed"
    model: ModelName = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLine:
    """What a pair weighs at the end of the log, under the run and under the rule, and the rule's share of all draws."""

    pair: str
    p_logged: float
    p: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was asked, and the answer; it is None where the log holds next to nothing."""

    rule: str
    clip: float
    per: Per
    versions: int
    answer: Answer | None
    refusals: tuple[str, ...]
    pairs: tuple[PairLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a run did: its settings, the pool that it began with, what it learnt step by step, and its weights now."""

    settings: Settings
    pairs: tuple[AgentPair, ...]
    log: tuple[LoggedStep, ...]
    weights: PairWeights


def read(database: Path, tell: Callable[[int], None] = lambda _: None) -> Recorded:
    """The log of a run, without its texts. Blocks, for about as long as reading every row takes.

    `tell` hears how many rows have been read.

    Raises:
        ConfigError: the run was recorded by a version whose settings this one does not take.
        StoreError: the run cannot be read.
    """
    manifest = read_standing(database).manifest
    settings = recorded_settings(manifest.config)
    batches = tuple(_batches(database, replace(learning.crediting_of(settings), faults=True), tell))
    standing = read_standing(database)  # after the batches: it knows every change of the pool that they know
    changes = (LoggedStep(epoch.version, epoch=epoch) for epoch in standing.epochs)
    return Recorded(
        settings=settings,
        pairs=manifest.pairs,
        log=tuple(sorted((*batches, *changes), key=lambda step: step.version)),
        weights=standing.weights or uniform(manifest.pairs),
    )


def replay(recorded: Recorded, question: Question, show: Callable[[TracedSeed], object] | None = None) -> Replayed:
    """Answer a question from what a run did. Computes for about a millisecond a seed.

    `show` is given every seed as the rule would have met it.

    Raises:
        ConfigError: there is no such rule, with such numbers.
    """
    settings, log = recorded.settings, recorded.log
    seeds = [seed for step in log for seed in step.seeds]
    rule = _rule(settings, question, num_pairs=len(recorded.pairs), num_seeds=question.seeds or len(seeds) or 1)
    model = _model(question.model, seeds, num_pairs=len(all_pairs(recorded.pairs, log)))
    options = RetraceOptions(
        replacement=settings.sampling.replacement, clip=question.clip, batch_size=question.batch_size
    )
    retrace = Retrace(recorded.pairs, log, rule, model, options)
    estimation = Estimation(KnownShares(seeds), question.clip, per=question.per)
    for traced in retrace.walk(rng.derive(settings.run.seed, "replay")):
        estimation.add(traced)
        if show is not None:
            show(traced)
    answer = estimation.answer(retrace.pairs, retrace.mass)
    return Replayed(
        rule=repr(rule),
        clip=question.clip,
        per=question.per,
        versions=retrace.weights.version,
        answer=answer,
        refusals=(NOTHING,) if answer is None else answer.refusals,
        pairs=tuple(_pair_lines(retrace, recorded.weights)),
    )


def recorded_settings(config: str) -> Settings:
    """The settings of a run, as its manifest records them (`identity.recorded_settings`).

    Raises:
        ConfigError: another version recorded them, and this one does not take them.
    """
    try:
        return identity.recorded_settings(config)
    except ValidationError as error:
        told = "; ".join(f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"the run was recorded by another version ({told}): replay it with that one") from error


def _batches(database: Path, options: CreditOptions, tell: Callable[[int], None]) -> Iterator[LoggedStep]:
    """Every batch in the order of learning. Texts are let go page by page."""
    done = 0
    for version, rows in groupby(iter_rows(database, order="commit"), lambda row: row.version):
        step = LoggedStep(version, tuple(logged(row.graded, options) for row in rows))
        done += len(step.seeds)
        tell(done)
        yield step


def _rule(settings: Settings, question: Question, *, num_pairs: int, num_seeds: int) -> UpdateRule:
    """The rule in question: what it does not say is as in the run, unless that means another rule's number.

    Raises:
        ConfigError: there is none with such numbers.
    """
    asked = {name: getattr(question, name) for name in ("rate", "discount", "floor")}
    given = {name: value for name, value in asked.items() if value is not None}
    if question.rule == "uniform":
        return FixedRule()
    section = settings.evolution.model_dump()
    if question.rule != section["rule"]:
        given = {"rate": "auto", "discount": "auto"} | given
    try:
        evolution = EvolutionSection.model_validate(section | given | {"rule": question.rule})
        changed = settings.model_copy(update={"evolution": evolution})
        rule = learning.rule_of(changed, num_pairs=num_pairs, num_seeds=num_seeds)
        check_floor(rule.floor, num_pairs)
    except ValidationError as error:
        raise ConfigError(*(f"--{dotted(one['loc'])}: {one['msg']}" for one in error.errors())) from error
    except ValueError as error:
        raise ConfigError(f"--rule {question.rule}: {error}") from error
    return rule


def _model(name: ModelName, seeds: Sequence[LoggedSeed], *, num_pairs: int) -> RewardModel:
    """Clusters where there are embeddings, unless told otherwise.

    Raises:
        ConfigError: there are none, and clusters were asked for.
    """
    embeddings = [seed.embedding for seed in seeds if seed.embedding]
    if name == "clusters" and not embeddings:
        raise ConfigError(
            "--model clusters: the run had no memory.embedder, so its seeds have no embeddings: say pairs"
        )
    if name == "pairs" or not embeddings:
        return PairMeans(num_pairs)
    return ClusterMeans(num_pairs, clusters(embeddings))


def _pair_lines(retrace: Retrace, logged_weights: PairWeights) -> Iterator[PairLine]:
    """Every pair that was ever in the pool; one that has left weighs nothing."""
    now, total = _by_pair(retrace.weights), float(retrace.mass.sum()) or 1.0
    run = _by_pair(logged_weights)
    for pair, mass in zip(retrace.pairs, retrace.mass.tolist(), strict=True):
        yield PairLine(pair=str(pair), p_logged=run.get(pair, 0.0), p=now.get(pair, 0.0), share=mass / total)


def _by_pair(weights: PairWeights) -> dict[AgentPair, float]:
    return dict(zip(weights.pairs, weights.p, strict=True))


def as_json(replayed: Replayed) -> dict[str, Any]:
    """Everything, as plain values. Estimates that the evidence does not bear are left out."""
    told: dict[str, Any] = {
        "rule": replayed.rule,
        "clip": replayed.clip,
        "per": replayed.per,
        "versions": replayed.versions,
        "refusals": list(replayed.refusals),
        "estimates": None,
        "evidence": None,
        "pairs": [asdict(line) for line in replayed.pairs],
    }
    if replayed.answer is not None:
        told["evidence"] = asdict(replayed.answer.evidence)
        if not replayed.refusals:
            told["estimates"] = {name: _interval(getattr(replayed.answer, name)) for name in ESTIMATES}
    return told


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "error": estimate.error}
