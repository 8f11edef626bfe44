"""The stages of a run as `service` joins and runs them, for the targets of a benchmark instead of a config.

One response agent a target, the judge on the last of them, one instruction agent on the first; every pair is in
the pool but the base, and five are drawn for a seed, two of them from the memory bank: the defaults of a config.
"""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from bench.clients.contract import MAX_TOKENS, Setup
from star_agents.core import rng
from star_agents.core.calls import SamplingParams
from star_agents.core.cast import Agents
from star_agents.core.ports import Scorer, SeedSource, Store
from star_agents.core.records import KEEP, Agent, AgentPair, ModelScore, Role, Sample, Scores, ScoreStatus
from star_agents.endpoints.fleet import Fleet
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.board import Board
from star_agents.pipeline.cadence import Cadence
from star_agents.pipeline.evolve import EvolveOptions, Evolver
from star_agents.pipeline.generate import Generator
from star_agents.pipeline.graph import BATCH_SEEDS, Graph, Stages
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.plan import Planner
from star_agents.policy import tally
from star_agents.policy.credits import CreditOptions
from star_agents.policy.memory import MemoryBank
from star_agents.policy.prompts import Prompts
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.selection import GradeOptions, SelectOptions
from star_agents.policy.weights import PaperRule, uniform
from star_agents.service.config.wiring import MAX_BYTES, MAX_IN_FLIGHT
from star_agents.service.run.sizing import Sizer
from star_agents.storage.manifest import Manifest
from star_agents.storage.recovery import Recovered
from star_agents.traffic.sizing import Bounds

CALLS_PER_SEED = 12
"""About: six answers, a rewrite, and a few verdicts in both orders."""
PAIRS_PER_SEED, FROM_MEMORY, BATCH_SIZE = 5, 2, 32
MIN_RESPONDERS = 4
DIMENSIONS = 384
NUM_DIRECTIONS = 64
"""Different embeddings there are."""
PARAMS = SamplingParams(max_tokens=MAX_TOKENS)
RULE = PaperRule(rate=0.01, floor=0.001)


class TextScorer:
    """The port `Scorer`: a text's checksum is its quality."""

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """See `core.ports.Scorer`."""
        return [_scores(crc32(sample.response.encode()) / 2**32) for sample in samples]


def _scores(quality: float) -> Scores:
    return Scores(ModelScore(ScoreStatus.OK, ifd=1.0 + quality), ModelScore(ScoreStatus.OK, ifd=1.0))


@dataclass(frozen=True, slots=True)
class Wiring:
    """The parts that the stages stand on."""

    setup: Setup
    fleet: Fleet
    store: Store
    source: SeedSource
    run_seed: int
    scorer: Scorer = field(default_factory=TextScorer)
    batches_at_once: int = 2
    """That the scorer is given; a pool says how many keep it at work."""


class TextEmbedder:
    """The port `Embedder`: one of a few directions, by the text's checksum."""

    def __init__(self) -> None:
        self._directions = [_direction(number) for number in range(NUM_DIRECTIONS)]

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `core.ports.Embedder`."""
        return [self._directions[crc32(text.encode()) % NUM_DIRECTIONS] for text in texts]


def _direction(number: int) -> bytes:
    chance = rng.derive(17, "direction", number)
    values = [chance.gauss(0.0, 1.0) for _ in range(DIMENSIONS)]
    norm = sum(value * value for value in values) ** 0.5
    return struct.pack(f"<{DIMENSIONS}f", *(value / norm for value in values))


def agents_of(setup: Setup) -> Agents:
    """Responders on the targets in turn, at least four, and one rewriter."""
    names = [f"e{number}" for number in range(len(setup.targets))]
    responders = range(max(MIN_RESPONDERS, len(names)))
    return Agents(
        {"deepen": _agent("deepen", Role.INSTRUCTION, names[0], "deepen")},
        {f"r{n}": _agent(f"r{n}", Role.RESPONSE, names[n % len(names)], "answer") for n in responders},
    )


def _agent(name: str, role: Role, endpoint: str, prompt: str) -> Agent:
    return Agent(name, role, endpoint, prompt, PARAMS, "v1")


def base_of(agents: Agents) -> tuple[AgentPair, ...]:
    """The seed as it stands, answered by the first responder."""
    return (AgentPair(KEEP, next(iter(agents.response))),)


def pool_of(agents: Agents) -> tuple[AgentPair, ...]:
    """Every pair but the base."""
    pairs = (AgentPair(first, second) for first in (KEEP, *agents.instruction) for second in agents.response)
    return tuple(pair for pair in pairs if pair not in base_of(agents))


def manifest(setup: Setup) -> Manifest:
    """The run's identity."""
    pairs = pool_of(agents_of(setup))
    return Manifest(
        config="{}", fingerprint="bench", input_sha256="", pairs=pairs, created="2026-01-01T00:00:00.000+00:00"
    )


def bounds_of(setup: Setup) -> Bounds:
    """Of the seeds in flight: as `sampling.max_in_flight: auto` has them, or the number that the setup wishes."""
    if fixed := setup.extra.get("max_in_flight"):
        return Bounds(at_least=fixed, at_most=fixed)
    return Bounds(at_least=BATCH_SEEDS + BATCH_SIZE, at_most=MAX_IN_FLIGHT, max_bytes=MAX_BYTES)


async def run_graph(wiring: Wiring, recovered: Recovered) -> None:
    """Run to the last commit, with as many seeds in flight as the endpoints can use."""
    parts, board = stages(wiring, recovered)
    bounds = bounds_of(wiring.setup)
    sizer = Sizer(board, wiring.fleet.snapshot, lambda: parts.evolver.last, bounds)
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(sizer.run())
        await Graph(parts, board, most_in_flight=bounds.at_most).run(recovered.open_plans)
        watcher.cancel()


def stages(wiring: Wiring, recovered: Recovered) -> tuple[Stages, Board]:
    """Everything joined; the graph is the caller's to make."""
    agents = agents_of(wiring.setup)
    base, pool = base_of(agents), pool_of(agents)
    bounds = bounds_of(wiring.setup)
    begin_with = min(bounds.at_least + 2 * wiring.fleet.total_limit // (PAIRS_PER_SEED + 1), bounds.at_most)
    cadence = Cadence(batch_size=wiring.setup.extra.get("batch_size", BATCH_SIZE), linger_s=2.0)
    standing, memory = recovered.standing, MemoryBank(1000, 10, 0.3)
    memory.fill(recovered.entries)
    board = Board(standing.weights or uniform(pool), memory, max_in_flight=begin_with, cadence=cadence)
    asker, prompts, grading = Asker(wiring.fleet, wiring.store, recovered.replies), Prompts({}), GradeOptions()
    judge = _agent("judge", Role.JUDGE, f"e{len(wiring.setup.targets) - 1}", "pairwise")
    joined = Stages(
        planner=Planner(
            board=board,
            store=wiring.store,
            source=wiring.source,
            embedder=TextEmbedder(),
            completer=wiring.fleet,
            agents=agents,
            base=base,
            judge_endpoint=judge.endpoint,
            options=DrawOptions(pairs_per_seed=PAIRS_PER_SEED, from_memory=FROM_MEMORY, replacement=False),
            run_seed=wiring.run_seed,
            idle_shares=wiring.fleet.idle_shares if wiring.setup.extra.get("capacity_aware") else None,
        ),
        generator=Generator(asker=asker, prompts=prompts, agents=agents, share_rewrites=True, run_seed=wiring.run_seed),
        scorer=wiring.scorer,
        batches_at_once=wiring.batches_at_once,
        judge=Judge(
            asker=asker,
            prompts=prompts,
            agent=judge,
            grading=grading,
            swap=True,
            is_lazy=True,
            run_seed=wiring.run_seed,
        ),
        evolver=Evolver(
            board=board,
            store=wiring.store,
            rule=RULE,
            grading=grading,
            selecting=SelectOptions(),
            crediting=CreditOptions(),
            options=EvolveOptions(memory_min_score=0.2),
            base=base,
            tally=tally.start(base, pool) if standing.weights is None else standing.tally,
        ),
    )
    return joined, board
