"""From a config to the stages of a run, whatever stands behind the ports.

Law: nothing here knows whether the world is real. A run joins its parts here and so does a laboratory, so what a
laboratory shows is what the same stages would do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from star_agents.core.calls import CallKey, Reply
from star_agents.core.ports import Completer, Embedder, Scorer, SeedSource, Store
from star_agents.core.records import PairWeights, Tally
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import EvolveOptions, Evolver
from star_agents.pipeline.generate import Generator
from star_agents.pipeline.graph import Stages
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.plan import Planner
from star_agents.policy import tally
from star_agents.policy.memory import MemoryBank
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.selection import GradeOptions, SelectOptions
from star_agents.service.config import judging, learning
from star_agents.service.config.settings import Settings
from star_agents.service.run.job import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world as the stages see it."""

    completer: Completer
    store: Store
    source: SeedSource
    scorer: Scorer
    embedder: Embedder | None
    recorded: Mapping[CallKey, Reply] = field(default_factory=dict)
    """Replies that an earlier start of the run has paid for."""
    idle_shares: Callable[[], Mapping[str, float]] | None = None
    """By endpoint, how much of its capacity is free; for `sampling.capacity_aware`."""
    batches_at_once: int = 2
    """Batches that the scorer works on at a time."""


def board_of(
    settings: Settings, inputs: Inputs, weights: PairWeights, memory: MemoryBank, *, max_in_flight: int
) -> Board:
    """The board of a run that begins, or goes on, with these weights and this memory."""
    cadence = learning.cadence_of(settings.evolution, num_seeds=inputs.num_seeds)
    return Board(weights, memory, max_in_flight=max_in_flight, cadence=cadence)


def evolver_of(settings: Settings, inputs: Inputs, board: Board, store: Store, tallied: Tally) -> Evolver:
    """The stage that learns, going on from what was `tallied` by earlier starts."""
    allow_truncated = settings.selection.truncated == "allow"
    return Evolver(
        board=board,
        store=store,
        rule=learning.rule_of(settings, num_pairs=len(inputs.pool), num_seeds=inputs.num_seeds),
        grading=GradeOptions(allow_truncated=allow_truncated),
        selecting=SelectOptions(fallback=settings.selection.fallback, min_score=settings.selection.min_score),
        crediting=learning.crediting_of(settings),
        options=EvolveOptions(
            memory_min_score=settings.memory.min_score,
            normalize=settings.scoring.normalize,
            drift=judging.drift_of(settings.judge),
        ),
        base=inputs.base,
        tally=tallied if tallied.pairs else tally.start(inputs.base, inputs.pool),
    )


def stages_of(settings: Settings, inputs: Inputs, ports: Ports, evolver: Evolver) -> Stages:
    """All stages, to be joined by `pipeline.graph.Graph`."""
    asker = Asker(ports.completer, ports.store, ports.recorded)
    return Stages(
        planner=Planner(
            board=evolver.board,
            store=ports.store,
            source=ports.source,
            embedder=ports.embedder,
            completer=ports.completer,
            agents=inputs.agents,
            base=inputs.base,
            judge_endpoint=settings.judge.endpoint,
            options=DrawOptions(
                pairs_per_seed=settings.sampling.pairs_per_seed,
                from_memory=settings.sampling.from_memory,
                replacement=settings.sampling.replacement,
            ),
            run_seed=settings.run.seed,
            idle_shares=ports.idle_shares if settings.sampling.capacity_aware else None,
        ),
        generator=Generator(
            asker=asker,
            prompts=inputs.prompts,
            agents=inputs.agents,
            share_rewrites=settings.sampling.share_rewrites,
            run_seed=settings.run.seed,
        ),
        scorer=ports.scorer,
        judge=Judge(
            asker=asker,
            prompts=inputs.prompts,
            agent=inputs.judge,
            grading=evolver.grading,
            swap=settings.judge.swap,
            is_lazy=settings.judge.policy == "lazy",
            run_seed=settings.run.seed,
            probes=judging.probes_of(settings.judge, inputs.gold),
        ),
        evolver=evolver,
        batches_at_once=ports.batches_at_once,
    )
