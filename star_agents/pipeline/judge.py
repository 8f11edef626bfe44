"""Ask the judge how each candidate compares with the base candidate of its seed (Eq. 6).

With policy `all` every candidate is judged while the scorer works on the same seed. With `lazy` the scores
come first and only candidates that could still win are asked; the selected row is the same
(docs/algorithm.md section 2). A failed or unreadable verdict is a tie and is recorded as what it was.
"""

import asyncio
from dataclasses import dataclass

from star_agents.core import rng
from star_agents.core.calls import CallKey, Purpose, Request
from star_agents.core.records import (
    Agent,
    Candidate,
    Plan,
    Settled,
    Verdict,
)
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.channel import Receiver, Sender
from star_agents.pipeline.generate import SEED_BITS
from star_agents.pipeline.marks import Judged, Scored
from star_agents.policy.prompts import Prompts
from star_agents.policy.selection import GradeOptions, gaps, next_to_judge
from star_agents.policy.verdicts import Label, combine, rule_verdicts

ASKS = 2
"""An unreadable verdict is asked for once more, then recorded as unparsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Compares candidates with their seed's reference; `swap` asks in both orders, and a win needs both."""

    asker: Asker
    prompts: Prompts
    agent: Agent
    grading: GradeOptions
    swap: bool
    is_lazy: bool
    run_seed: int

    async def run(self, unjudged: Receiver[Settled | Scored], judged: Sender[Judged], *, num_workers: int) -> None:
        """Judge until the input ends; with policy `lazy` the input is scored already."""
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(self._work(unjudged, judged))

    async def _work(self, unjudged: Receiver[Settled | Scored], judged: Sender[Judged]) -> None:
        async for item in unjudged:
            if isinstance(item, Scored):
                await judged.send(Judged(item.settled, await self.judge_lazily(item)))
            else:
                await judged.send(Judged(item, await self.judge_all(item)))

    async def judge_all(self, settled: Settled) -> dict[int, Verdict]:
        """Every candidate's verdict by slot, all asked at once."""
        verdicts = rule_verdicts(settled)
        open_slots = [candidate.slot for candidate in settled.candidates() if candidate.slot not in verdicts]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._compare(settled, slot)) for slot in open_slots]
        return verdicts | {one.result().slot: one.result() for one in asked}

    async def judge_lazily(self, scored: Scored) -> dict[int, Verdict]:
        """Verdicts by slot, asked in order of falling gap until no slot left could win."""
        verdicts = rule_verdicts(scored.settled)
        competing = gaps(scored.settled, scored.scores, self.grading)
        while (slot := next_to_judge(competing, verdicts)) is not None:
            verdicts[slot] = await self._compare(scored.settled, slot)
        return verdicts

    async def _compare(self, settled: Settled, slot: int) -> Verdict:
        candidates = {candidate.slot: candidate for candidate in settled.candidates()}
        reference = settled.reference()
        assert reference is not None, "without a reference a rule has spoken"  # noqa: S101  # a programmer's mistake
        orders = (False, True) if self.swap else (False,)
        plan = settled.plan
        async with asyncio.TaskGroup() as group:
            labels = [group.create_task(self._ask(plan, reference, candidates[slot], order)) for order in orders]
        return combine(slot, [label.result() for label in labels])

    async def _ask(self, plan: Plan, reference: Candidate, candidate: Candidate, swapped: bool) -> Label:  # noqa: FBT001  # one order
        purpose = Purpose.JUDGE_SWAPPED if swapped else Purpose.JUDGE
        label: Label = "unparsed"
        for ordinal in range(ASKS):
            key = CallKey(plan.seed.number, purpose, candidate.slot, ordinal)
            names = (key.seed, key.purpose, key.slot, key.ordinal)
            call = self.prompts.judge(
                reference,
                candidate,
                swapped=swapped,
                same_instruction=reference.instruction == candidate.instruction,
                rng=rng.derive(self.run_seed, "fence", *names),
            )
            random_seed = rng.derive_int(self.run_seed, "sample", *names, bits=SEED_BITS)
            request = Request(
                key=key,
                endpoint=self.agent.endpoint,
                messages=call.messages,
                params=self.agent.params,
                random_seed=random_seed,
                agent=self.agent.name,
                pair=str(plan.slots[candidate.slot].pair),
                choices=call.choices,
            )
            label = call.read(await self.asker.ask(request))
            if label != "unparsed":
                break
        return label
