"""Turn a plan into a settled candidate set: every slot ends exactly once, as a candidate or a failure.

Workers are alike and long-lived; each carries one seed at a time and asks all its slots at once, so a slow
endpoint delays the seeds that need it and nothing else. Pairs of a seed with the same instruction agent
share one rewrite, so that their answers are answers to the same question (docs/algorithm.md section 1).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from star_agents.core import rng
from star_agents.core.calls import (
    CallKey,
    Charge,
    Failure,
    Message,
    Purpose,
    Request,
)
from star_agents.core.cast import Agents
from star_agents.core.records import (
    KEEP,
    Agent,
    Candidate,
    Outcome,
    Plan,
    Settled,
    Slot,
)
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.channel import Receiver, Sender
from star_agents.policy.prompts import Prompts

SEED_BITS = 31
"""Servers take a request's random seed as a signed 32-bit integer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a response agent is to answer, and the calls that made it."""

    text: str
    charges: tuple[Charge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """Asks the agents of a plan."""

    asker: Asker
    prompts: Prompts
    agents: Agents
    share_rewrites: bool
    run_seed: int

    async def run(self, plans: Receiver[Plan], outputs: Sequence[Sender[Settled]], *, num_workers: int) -> None:
        """Settle plans until they end. Each settled set goes to every output."""
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(self._work(plans, outputs))

    async def _work(self, plans: Receiver[Plan], outputs: Sequence[Sender[Settled]]) -> None:
        async for plan in plans:
            settled = await self.settle(plan)
            for output in outputs:
                await output.send(settled)

    async def settle(self, plan: Plan) -> Settled:
        """Ask every slot of a plan and wait for all of them."""
        async with asyncio.TaskGroup() as group:
            branches = [group.create_task(self._branch(plan, slots)) for slots in self._branches(plan)]
        outcomes = {outcome.slot: outcome for branch in branches for outcome in branch.result()}
        return Settled(plan, tuple(outcomes[slot.number] for slot in plan.slots))

    def _branches(self, plan: Plan) -> list[list[Slot]]:
        """Slots that answer the same question, together."""
        if not self.share_rewrites:
            return [[slot] for slot in plan.slots]
        branches: dict[str, list[Slot]] = {}
        for slot in plan.slots:
            branches.setdefault(slot.pair.instruction, []).append(slot)
        return list(branches.values())

    async def _branch(self, plan: Plan, slots: list[Slot]) -> list[Outcome]:
        question = await self._rewrite(plan, slots[0])
        if isinstance(question, Failure):
            return [replace(question, slot=slot.number) for slot in slots]
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(self._respond(plan, slot, question)) for slot in slots]
        return [answer.result() for answer in answers]

    async def _rewrite(self, plan: Plan, slot: Slot) -> Question | Failure:
        """I' = A^I_j(I) (Eq. 2); `keep` is the identity and makes no call."""
        if slot.pair.instruction == KEEP:
            return Question(plan.seed.question)
        agent = self.agents.instruction[slot.pair.instruction]
        key = CallKey(plan.seed.number, Purpose.REWRITE, slot.number)
        chance = rng.derive(self.run_seed, "fence", key.seed, key.purpose, key.slot)
        messages = self.prompts.rewrite(agent.prompt, plan.seed, chance)
        reply = await self.asker.ask(self._request(key, agent, slot, messages))
        if isinstance(reply, Failure):
            return reply
        text = self.prompts.clean_rewrite(reply.text)
        if text:
            return Question(text, (Charge(reply.endpoint, reply.usage),))
        return Failure(
            slot=slot.number,
            purpose=Purpose.REWRITE,
            reason="empty_rewrite",
            message=f"agent {agent.name} returned no instruction",
            endpoint=reply.endpoint,
        )

    async def _respond(self, plan: Plan, slot: Slot, question: Question) -> Outcome:
        """R' = A^R_k(I', R) (Eq. 3)."""
        agent = self.agents.response[slot.pair.response]
        key = CallKey(plan.seed.number, Purpose.RESPOND, slot.number)
        messages = self.prompts.respond(agent.prompt, question.text, plan.seed)
        reply = await self.asker.ask(self._request(key, agent, slot, messages))
        if isinstance(reply, Failure):
            return reply
        charges = (*question.charges, Charge(reply.endpoint, reply.usage))
        return Candidate(slot.number, question.text, reply.text, reply.model, reply.finish_reason, charges)

    def _request(self, key: CallKey, agent: Agent, slot: Slot, messages: tuple[Message, ...]) -> Request:
        """A shared rewrite is charged to the pair of the slot that asked for it."""
        return Request(
            key=key,
            endpoint=agent.endpoint,
            messages=messages,
            params=agent.params,
            random_seed=rng.derive_int(self.run_seed, "sample", key.seed, key.purpose, key.slot, bits=SEED_BITS),
            agent=agent.name,
            pair=str(slot.pair),
        )
