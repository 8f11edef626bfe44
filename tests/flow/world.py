"""A small world for the whole pipeline on virtual time: agents of known quality, latency and reliability.

An answer's text carries its quality, so that the scorer and the judge can be exact about it. Everything is
drawn by name from the world's own seed, so two runs of one world differ only in what the pipeline does.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from star_agents.core import clock, rng
from star_agents.core.calls import (
    CallKey,
    Completion,
    FinishReason,
    Purpose,
    Request,
    SamplingParams,
    Usage,
)
from star_agents.core.cast import Agents
from star_agents.core.errors import AuthFailedError, OverloadedError
from star_agents.core.place import Place
from star_agents.core.records import (
    KEEP,
    Agent,
    AgentPair,
    ModelScore,
    Plan,
    Role,
    Sample,
    Scores,
    ScoreStatus,
    Seed,
)
from star_agents.endpoints.purse import Purse
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.board import Board
from star_agents.pipeline.cadence import Cadence
from star_agents.pipeline.evolve import EvolveOptions, Evolver
from star_agents.pipeline.generate import Generator
from star_agents.pipeline.graph import Graph, Stages
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.plan import Planner
from star_agents.policy import tally
from star_agents.policy.credits import CreditOptions
from star_agents.policy.memory import MemoryBank
from star_agents.policy.prompts import Prompts
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.selection import GradeOptions, SelectOptions
from star_agents.policy.weights import PaperRule, UpdateRule, uniform
from star_agents.service.run.intake import Intake, Outlook
from star_agents.storage.recovery import Recovered
from star_agents.traffic.budget import Budget, Cost
from tests.fakes.store import ListSeeds, MemoryStore

QUALITIES = {"base": 0.4, "good": 0.9, "fair": 0.6, "poor": 0.1}
"""Response agents of the world, and how good their answers are."""

WORLD_SEED = 7
RULE = PaperRule(rate=0.05, floor=0.001)
USED = Usage(10, 5)
WORST = 40
BASE = (AgentPair(KEEP, "base"),)
POOL = tuple(
    AgentPair(instruction, response) for instruction in (KEEP, "deepen") for response in ("good", "fair", "poor")
)


@dataclass(slots=True)
class World:
    """Answers every call; `sent` counts the calls by key, and `faulty` names agents that always fail."""

    latency_s: Mapping[str, float] = field(default_factory=dict)
    """By endpoint; 1 s where not given. Every call takes up to twice that, by its name."""
    faulty: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    """Endpoints that cannot be asked: a call to one is refused at once."""
    down_until_s: float = float("inf")
    purse: Purse = field(default_factory=lambda: Purse(Budget()))
    """Every call takes `USED` tokens out of it, having set `WORST` aside."""
    sent: Counter[CallKey] = field(default_factory=Counter)
    in_flight: int = 0
    peak_in_flight: int = 0

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """The port `Completer`."""
        async with self.purse.hold(Cost(WORST)) as hold:
            completion = await self._answer(request)
            hold.settle(Cost(USED.input_tokens + USED.output_tokens))
            return completion

    async def _answer(self, request: Request) -> Completion:
        self.sent[request.key] += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            chance = rng.derive(WORLD_SEED, "world", *_name(request.key))
            await asyncio.sleep(self.latency_s.get(request.endpoint, 1.0) * (1 + chance.random()))
            if request.endpoint in self.unavailable():
                raise AuthFailedError(f"{request.endpoint} rejects the key")
            if request.endpoint in self.faulty:
                raise OverloadedError(f"{request.endpoint} is broken")
            text = self._text(request, chance.gauss(0.0, 0.05))
            return Completion(text, FinishReason.STOP, USED, request.endpoint, request.endpoint, 1.0)
        finally:
            self.in_flight -= 1

    def unavailable(self) -> frozenset[str]:
        """The port `Completer`."""
        return self.down if clock.now() < self.down_until_s else frozenset()

    def _text(self, request: Request, noise: float) -> str:
        match request.key.purpose:
            case Purpose.REWRITE:
                return f"Rewritten task {request.key.seed}"
            case Purpose.RESPOND:
                return f"quality {QUALITIES[request.endpoint] + noise:.4f}"
            case _:
                answers = [_quality(line) for message in request.messages for line in message.content.splitlines()]
                first, second = (answer for answer in answers if answer is not None)
                return f"Verdict: {'A' if first > second else 'B' if second > first else 'tie'}"

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """The port `Scorer`: the gap is the quality."""
        await asyncio.sleep(0.2)
        return [_scores(_quality(sample.response)) for sample in samples]

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """The port `Embedder`: two directions, by the seed's parity."""
        await asyncio.sleep(0.01)
        return [EAST if int(text.split()[-1]) % 2 else NORTH for text in texts]


EAST = b"\x00\x00\x80\x3f" + b"\x00" * 4
NORTH = b"\x00" * 4 + b"\x00\x00\x80\x3f"


def _name(key: CallKey) -> tuple[int | str, ...]:
    return key.seed, key.purpose, key.slot, key.ordinal


def _quality(line: str) -> float | None:
    words = line.split()
    return float(words[1]) if len(words) == 2 and words[0] == "quality" else None


def _scores(quality: float | None) -> Scores:
    assert quality is not None
    small = ModelScore(ScoreStatus.OK, ifd=quality + 1.0)
    large = ModelScore(ScoreStatus.OK, ifd=1.0)
    return Scores(small, large)


@dataclass(slots=True, kw_only=True)
class Run:
    """One start of a run in a world, on a store that may already hold some of it."""

    world: World
    store: MemoryStore
    num_seeds: int = 40
    lazy: bool = False
    max_in_flight: int = 12
    batch_size: int = 4
    linger_s: float = 2.0
    cadence: Cadence | None = None
    """Instead of the two."""
    rule: UpdateRule = RULE
    normalize: Literal["candidates", "batch", "running"] = "candidates"
    replacement: bool = False
    from_memory: int = 1
    idle: Mapping[str, float] | None = None
    """By endpoint; where given, the draw leans towards what is idle."""
    limit: int | None = None
    intake: Intake = field(init=False)
    graph: Graph = field(init=False)
    board: Board = field(init=False)
    evolver: Evolver = field(init=False)
    recovered: Recovered = field(init=False)

    async def start(self) -> None:
        """Run until the seeds end or the graph is drained."""
        self.recovered = await self.store.load(capacity=1000)
        standing = self.recovered.standing
        memory = MemoryBank(1000, 5, 0.3)
        for entry in self.recovered.entries:
            memory.add(entry)
        cadence = self.cadence or Cadence(batch_size=self.batch_size, linger_s=self.linger_s)
        weights = standing.weights or uniform(POOL)
        self.board = Board(weights, memory, max_in_flight=self.max_in_flight, cadence=cadence)
        asker = Asker(self.world, self.store, self.recovered.replies)
        seeds = [Seed(n, f"Task {n}", f"old answer {n}") for n in range(standing.next_seed, self.num_seeds)]
        self.intake = Intake(ListSeeds(seeds), self._outlook(), limit=self.limit)
        stages = self._stages(asker)
        self.evolver = stages.evolver
        self.graph = Graph(stages, self.board)
        await self.graph.run(self.recovered.open_plans)

    def _outlook(self) -> Outlook:
        return Outlook(
            budget=self.world.purse.budget,
            worst=Cost(4 * 4 * WORST),
            num_open=lambda: self.board.num_out,
            num_finished=lambda: len(self.store.log) + self.board.num_waiting,
        )

    def _stages(self, asker: Asker) -> Stages:
        prompts, grading = Prompts({}), GradeOptions()
        return Stages(
            planner=Planner(
                board=self.board,
                store=self.store,
                source=self.intake,
                embedder=self.world,
                completer=self.world,
                agents=AGENTS,
                base=BASE,
                judge_endpoint="judge",
                options=DrawOptions(pairs_per_seed=3, from_memory=self.from_memory, replacement=self.replacement),
                run_seed=WORLD_SEED,
                idle_shares=None if self.idle is None else lambda: self.idle or {},
            ),
            generator=Generator(asker=asker, prompts=prompts, agents=AGENTS, share_rewrites=True, run_seed=WORLD_SEED),
            scorer=self.world,
            judge=Judge(
                asker=asker,
                prompts=prompts,
                agent=_agent("judge", Role.JUDGE, "pairwise"),
                grading=grading,
                swap=True,
                is_lazy=self.lazy,
                run_seed=WORLD_SEED,
            ),
            evolver=Evolver(
                board=self.board,
                store=self.store,
                rule=self.rule,
                grading=grading,
                selecting=SelectOptions(),
                crediting=CreditOptions(replacement=self.replacement),
                options=EvolveOptions(memory_min_score=0.2, normalize=self.normalize),
                base=BASE,
                tally=self.recovered.standing.tally if self.store.updates else tally.start(BASE, POOL),
            ),
        )

    def open_plans(self) -> list[Plan]:
        """Plans that were made and not learnt from."""
        return [plan for number, plan in self.store.plans.items() if number not in self.store.log]


def _agent(name: str, role: Role, prompt: str) -> Agent:
    return Agent(name, role, name, prompt, SamplingParams(64), "v1")


AGENTS = Agents(
    {"deepen": _agent("deepen", Role.INSTRUCTION, "deepen")},
    {name: _agent(name, Role.RESPONSE, "answer") for name in QUALITIES},
)
