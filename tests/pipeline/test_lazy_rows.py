"""Lazy judging asks less and selects the same rows, through the stages that a run has (docs/algorithm.md section 2)."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.calls import CallKey, Completion, FinishReason, Request, SamplingParams, Usage
from star_agents.core.errors import FilteredReplyError
from star_agents.core.place import Place
from star_agents.core.records import Agent, MemoryEntry, Role, Seed, Selection, Settled, Update
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import EvolveOptions, Evolver
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.marks import Marked, Scored
from star_agents.policy import tally
from star_agents.policy.credits import CreditOptions
from star_agents.policy.memory import MemoryBank
from star_agents.policy.prompts import Prompts
from star_agents.policy.selection import GradeOptions, SelectOptions
from star_agents.policy.weights import PaperRule, uniform
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual
from tests.policy.sets import pairs
from tests.policy.test_lazy import OPTIONS, Case, cases

EAST = b"\x00\x00\x80\x3f" + b"\x00" * 4
SAID = ("A", "A", "B", "B", "tie", "unreadable", "cut", "failed")


@dataclass
class Script:
    """A judge whose every word follows from the two answers, their order, and whether it is asked again."""

    by_choice: bool
    sent: Counter[CallKey] = field(default_factory=Counter)

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """The port `Completer`."""
        self.sent[request.key] += 1
        shown = re.findall(
            r"^<ANSWER [AB] [0-9a-f]{12}>\n(.*?)\n</ANSWER", request.messages[-1].content, re.DOTALL | re.MULTILINE
        )
        digest = blake2b("\x1f".join([*shown, str(request.key.ordinal)]).encode(), digest_size=2).digest()
        await asyncio.sleep(digest[1] / 100)
        said = SAID[digest[0] % len(SAID)]
        if said == "failed":
            raise FilteredReplyError("declined")
        finish = FinishReason.LENGTH if said == "cut" else FinishReason.STOP
        text = {"tie": "C"}.get(said, said) if self.by_choice else f"Because.\nVerdict: {said}"
        return Completion(text, finish, Usage(10, 5), "judge", "e", 0.1)

    def unavailable(self) -> frozenset[str]:
        """The port `Completer`."""
        return frozenset()


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything a config may say that has to do with which row is selected."""

    selecting: SelectOptions
    allow_truncated: bool
    normalize: Literal["candidates", "batch", "running"]
    swap: bool
    by_choice: bool


def evolver_for(options: Options, store: MemoryStore) -> Evolver:
    pool = pairs(8)
    return Evolver(
        board=Board(uniform(pool), MemoryBank(100, 5, 0.3), max_in_flight=100),
        store=store,
        rule=PaperRule(rate=0.05),
        grading=GradeOptions(allow_truncated=options.allow_truncated),
        selecting=options.selecting,
        crediting=CreditOptions(),
        options=EvolveOptions(memory_min_score=0.1, normalize=options.normalize),
        base=(),
        tally=tally.start((), pool),
    )


async def judged(batch: Sequence[Case], options: Options, *, is_lazy: bool) -> tuple[Update, Script]:
    """What a batch of seeds comes to, and what the judge was asked."""
    store, script = MemoryStore(), Script(options.by_choice)
    evolver = evolver_for(options, store)
    judge = Judge(
        asker=Asker(script, store, {}),
        prompts=Prompts({}, tie_margin=0.1 if options.by_choice else None),
        agent=Agent("judge", Role.JUDGE, "e", "pairwise", SamplingParams(16), "v"),
        grading=evolver.grading,
        swap=options.swap,
        is_lazy=is_lazy,
        run_seed=1,
    )
    marked = []
    for number, case in enumerate(batch):
        item = numbered(case.item, number)
        await store.assign(item.plan)
        verdicts = await (judge.judge_lazily(Scored(item, case.scores)) if is_lazy else judge.judge_all(item))
        marked.append(Marked(item, case.scores, verdicts))
    return evolver.decide(marked), script


def numbered(item: Settled, number: int) -> Settled:
    seed = Seed(number, item.plan.seed.instruction, item.plan.seed.response)
    return replace(item, plan=replace(item.plan, seed=seed, embedding=EAST))


def rows(update: Update) -> tuple[list[Selection], tuple[MemoryEntry, ...]]:
    return [item.selection for item in update.graded], update.entries


POLICIES = st.builds(
    Options,
    selecting=OPTIONS,
    allow_truncated=st.booleans(),
    normalize=st.sampled_from(["candidates", "batch", "running"]),
    swap=st.booleans(),
    by_choice=st.booleans(),
)


@settings(max_examples=300)
@given(st.lists(cases(), min_size=1, max_size=3), POLICIES)
def test_lazy_selects_the_same_rows(batch: list[Case], options: Options) -> None:
    """Rows, what is remembered, and every pi that is known are those of judging all; no call is added by being lazy."""
    everything, all_asked = run_virtual(judged(batch, options, is_lazy=False))
    lazily, asked = run_virtual(judged(batch, options, is_lazy=True))
    assert rows(lazily) == rows(everything)
    for lazy, complete in zip(lazily.graded, everything.graded, strict=True):
        assert all(one.pi in (None, other.pi) for one, other in zip(lazy.grades, complete.grades, strict=True))
    assert asked.sent <= all_asked.sent
    check_what_was_saved(lazily.tally.events, everything.tally.events, asked, orders=1 + options.swap)


def check_what_was_saved(lazy: Mapping[str, int], complete: Mapping[str, int], asked: Script, *, orders: int) -> None:
    """The comparisons spared are exactly those that judging all would have asked."""
    assert "judge.spared" not in complete
    assert lazy.get("judge.asked", 0) + lazy.get("judge.spared", 0) == complete.get("judge.asked", 0)
    first_asks = sum(count for key, count in asked.sent.items() if key.ordinal == 0)
    assert first_asks == orders * lazy.get("judge.asked", 0)
