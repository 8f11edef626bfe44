"""A finished run on disk, made up but of whole cloth: kinds of tasks, pairs of different worth, weights that learn.

Everything is written through the real store and the real rule of learning; only texts and scores are drawn.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from star_agents.core import rng
from star_agents.core.calls import (
    CallKey,
    Completion,
    Failure,
    FinishReason,
    Message,
    Purpose,
    Reply,
    Request,
    SamplingParams,
    Usage,
)
from star_agents.core.records import (
    KEEP,
    AgentPair,
    Candidate,
    Graded,
    ModelScore,
    PairWeights,
    Plan,
    Scores,
    ScoreStatus,
    Seed,
    Settled,
    Slot,
    Update,
    Verdict,
    VerdictSource,
)
from star_agents.policy import tally
from star_agents.policy.credits import credits
from star_agents.policy.selection import GradeOptions, SelectOptions, grade, select
from star_agents.policy.weights import PaperRule, uniform
from star_agents.storage.folder import RunFolder
from star_agents.storage.manifest import Manifest
from star_agents.storage.store import RunStore

KINDS = {
    "code": (
        "Write a Python function that finds the longest word of a text.",
        "Sort a list of dates without a library.",
    ),
    "mathematics": ("How many ways are there to lay out three books?", "Prove that there is no largest prime."),
    "letters": ("Write to a neighbour about a noisy cockerel.", "Thank an aunt for a book you have not read."),
    "history": ("Why did the bridges of old towns bear houses?", "What did the printing press change for cooks?"),
}
SENTENCES = (
    "First look at what is asked, and at what is not. ", "A small case tells most of it. ",
    "Then go on step by step, and check each. ", "It helps to say it to somebody else. ",
    "In the end compare with what was asked. ", "What is left is a matter of taste. ",
)  # fmt: skip
BASE = AgentPair(KEEP, "mistral-7b")
POOL = tuple(
    AgentPair(instruction, response)
    for instruction in ("deepen", "broaden", "concretise")
    for response in ("mistral-7b", "qwen-14b", "gpt-4o-mini")
)
WORTH = {"mistral-7b": 0.05, "qwen-14b": 0.12, "gpt-4o-mini": 0.18, "deepen": 0.06, "broaden": 0.0, "concretise": 0.1}
DIMENSIONS = 16
PAIRS_PER_SEED = 3

CONFIG = {
    "run": {"name": "star-instruct", "dir": "runs/star-instruct", "seed": 17},
    "seeds": {"path": "data/evol-70k.jsonl"},
    "endpoints": {
        "local": {"kind": "local", "model": "mistralai/Mistral-7B-Instruct-v0.3", "price": None},
        "qwen": {"kind": "openai", "model": "Qwen/Qwen2.5-14B",
                 "price": {"input": 0.1, "output": 0.1, "cached_input": None},
                 "base_url": "http://me:hunter2@gpu-a:8000/v1?token=hunter3"},
        "gpt": {"kind": "openai", "model": "gpt-4o-mini", "api_key": "${OPENAI_API_KEY}",
                "price": {"input": 0.15, "output": 0.6, "cached_input": None}},
    },
    "agents": {
        "instruction": {n: {"endpoint": "local", "prompt": n, "temperature": 0.8}
                        for n in ("deepen", "broaden", "concretise")},
        "response": {n: {"endpoint": e, "prompt": "answer", "temperature": 0.7}
                     for n, e in (("mistral-7b", "local"), ("qwen-14b", "qwen"), ("gpt-4o-mini", "gpt"))},
    },
    "pairs": {"base": [[KEEP, "mistral-7b"]], "pool": "all"},
    "sampling": {"pairs_per_seed": PAIRS_PER_SEED},
    "scoring": {"small": "EleutherAI/pythia-1b", "large": "meta-llama/Llama-2-7b-hf", "ifd": "exact"},
    "judge": {"endpoint": "gpt", "policy": "all", "swap": True},
    "evolution": {"rule": "paper", "rate": "auto"},
}  # fmt: skip

MANIFEST = Manifest(
    config=orjson.dumps(CONFIG).decode(),
    fingerprint="5e1d" * 8,
    input_sha256="c0ffee" * 10 + "0000",
    pairs=POOL,
    created="2026-01-02T03:04:05.678+00:00",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How long a run to make; every text has `spice` in it."""

    num_seeds: int = 400
    batch_size: int = 20
    spice: str = ""
    manifest: Manifest = MANIFEST


def make(folder: Path, world: World, *, ended: str | None = "complete") -> RunFolder:
    """Write the run; without `ended` it looks as if it had been killed. Runs a loop of its own."""
    from tests.loops import run_real

    run = RunFolder(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    run_real(_write(run.database, world))
    if ended is not None:
        (folder / "ended.json").write_bytes(orjson.dumps({"ending": ended}))
    (folder / "scorer.jsonl").write_bytes(orjson.dumps({"device": "cuda", "torch": "2.13.0", "ifd": "exact"}) + b"\n")
    return run


async def _write(database: Path, world: World) -> None:
    weights, counts = uniform(POOL), tally.start((BASE,), POOL)
    rule = PaperRule(rate=17.5 / (PAIRS_PER_SEED * max(1, world.num_seeds)), floor=0.001)
    async with await RunStore.open(database, world.manifest) as store:
        for first in range(0, world.num_seeds, world.batch_size):
            numbers = range(first, min(first + world.batch_size, world.num_seeds))
            batch = [_graded(number, weights, world) for number in numbers]
            async with asyncio.TaskGroup() as group:
                for graded in batch:
                    group.create_task(_record(store, graded))
            weights = rule.update(weights, credits(batch))
            counts = tally.count(counts, batch)
            await store.learn(Update(weights, tuple(batch), (), counts))


async def _record(store: RunStore, graded: Graded) -> None:
    await store.assign(graded.settled.plan)
    for outcome in graded.settled.outcomes:
        await store.respond(*_call(graded, outcome))


def _graded(number: int, weights: PairWeights, world: World) -> Graded:
    chance = rng.derive(3, "report-world", number)
    kind, questions = list(KINDS.items())[number % len(KINDS)]
    question = chance.choice(questions) + world.spice
    drawn = list(dict.fromkeys(chance.choices(POOL, weights.p, k=PAIRS_PER_SEED)))
    slots = tuple(Slot(slot, pair, is_base=slot == 0) for slot, pair in enumerate([BASE, *drawn]))
    plan = Plan(
        Seed(number, question, "An old answer." + world.spice), slots, weights.version, embedding=_vector(kind, number)
    )
    outcomes: list[Candidate | Failure] = []
    scores, verdicts = {}, {0: Verdict(0, 0.5, VerdictSource.BASE)}
    for slot, pair in enumerate([BASE, *drawn]):
        if slot and chance.random() < 0.02:
            outcomes.append(
                Failure(slot, Purpose.RESPOND, "timeout", "no answer in 600 s" + world.spice, "qwen", attempts=4)
            )
            continue
        worth = WORTH[pair.response] + (WORTH[pair.instruction] if slot else 0.0) + 0.05 * (kind == "code") * (slot % 2)
        words = "".join(chance.choices(SENTENCES, k=chance.randint(2, 12)))
        asks = (
            question
            if pair.instruction == KEEP
            else f"{question} Give two examples from daily life, and say where each of them ends."
        )
        outcomes.append(Candidate(slot, asks, f"{words}{world.spice}", pair.response))
        large = min(1.2, max(0.1, chance.gauss(0.55, 0.15)))
        small = large + chance.gauss(worth - 0.12, 0.08)
        scores[slot] = Scores(_score(max(0.05, small)), _score(large))
        if slot:
            won = chance.random() < 0.35 + worth + 0.01 * len(words) / 38
            verdicts[slot] = Verdict(slot, float(won), VerdictSource.JUDGE, ("win", "win") if won else ("loss", "tie"))
    settled = Settled(plan, tuple(outcomes))
    grades = grade(settled, scores, verdicts, GradeOptions())
    return Graded(settled, scores, verdicts, grades, select(settled, grades, SelectOptions()))


def _score(ifd: float) -> ModelScore:
    return ModelScore(ScoreStatus.OK, ifd=ifd)


def _vector(kind: str, number: int) -> bytes:
    """A direction of the kind, a little off."""
    middle = np.random.default_rng(list(KINDS).index(kind)).normal(size=DIMENSIONS)
    vector = middle + 0.4 * np.random.default_rng(number + 100).normal(size=DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


def _call(graded: Graded, outcome: Candidate | Failure) -> tuple[Request, Reply]:
    number = graded.settled.plan.seed.number
    pair = graded.settled.plan.slots[outcome.slot].pair
    request = Request(
        CallKey(number, Purpose.RESPOND, outcome.slot, 0),
        outcome.endpoint if isinstance(outcome, Failure) else "local",
        (Message("user", "Go on."),),
        SamplingParams(64),
        number,
        agent=pair.response,
        pair=str(pair),
    )
    if isinstance(outcome, Failure):
        return request, outcome
    endpoint = {"mistral-7b": "local", "qwen-14b": "qwen", "gpt-4o-mini": "gpt"}[outcome.model]
    usage = Usage(len(outcome.instruction) // 4, len(outcome.response) // 4)
    text = Completion(outcome.response, FinishReason.STOP, usage, outcome.model, endpoint, 0.25)
    return request, text
