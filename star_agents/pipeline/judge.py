"""Ask the judge how each candidate compares with the base candidate of its seed (Eq. 6).

With policy `all` every candidate is judged while the scorer works on the same seed. With `lazy` the scores
come first and only candidates that could still win are asked; the selected row is the same
(docs/algorithm.md section 2). A failed or unreadable verdict is a tie and is recorded as what it was.

A few seeds carry a probe besides: two answers of which the better is known (docs/judge.md). It is asked as any
other comparison is, and touches nothing of the seed.
"""

import asyncio
from dataclasses import dataclass

from star_agents.core import rng
from star_agents.core.calls import CallKey, Purpose, Request
from star_agents.core.records import (
    Agent,
    Candidate,
    Probe,
    Settled,
    Verdict,
)
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.channel import Receiver, Sender
from star_agents.pipeline.generate import SEED_BITS
from star_agents.pipeline.marks import Judged, Scored
from star_agents.policy.probes import Probes
from star_agents.policy.prompts import JudgeCall, Prompts
from star_agents.policy.selection import GradeOptions, gaps, next_to_judge
from star_agents.policy.verdicts import Label, combine, rule_verdicts, with_suspicions

ASKS = 2
"""An unreadable verdict is asked for once more, then recorded as unparsed."""

PROBED_PAIR = "gold probe"
"""Who is charged for a probe, in the place of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Two answers, who is charged, and what its calls are known by: one purpose an order, straight first."""

    seed: int
    slot: int
    pair: str
    reference: Candidate
    candidate: Candidate
    purposes: tuple[Purpose, Purpose] = (Purpose.JUDGE, Purpose.JUDGE_SWAPPED)


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
    probes: Probes | None = None

    async def run(self, unjudged: Receiver[Settled | Scored], judged: Sender[Judged], *, num_workers: int) -> None:
        """Judge until the input ends; with policy `lazy` the input is scored already."""
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(self._work(unjudged, judged))

    async def _work(self, unjudged: Receiver[Settled | Scored], judged: Sender[Judged]) -> None:
        async for item in unjudged:
            if isinstance(item, Scored):
                settled, verdicts = item.settled, await self.judge_lazily(item)
            else:
                settled, verdicts = item, await self.judge_all(item)
            await judged.send(Judged(settled, verdicts, await self.probe(settled.plan.seed.number)))

    async def judge_all(self, settled: Settled) -> dict[int, Verdict]:
        """Every candidate's verdict by slot, all asked at once."""
        verdicts = rule_verdicts(settled)
        open_slots = [candidate.slot for candidate in settled.candidates() if candidate.slot not in verdicts]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._judge(settled, slot)) for slot in open_slots]
        return with_suspicions(settled, verdicts | {one.result().slot: one.result() for one in asked})

    async def judge_lazily(self, scored: Scored) -> dict[int, Verdict]:
        """Verdicts by slot, asked in order of falling gap until no slot left could win."""
        verdicts = rule_verdicts(scored.settled)
        competing = gaps(scored.settled, scored.scores, self.grading)
        while (slot := next_to_judge(competing, verdicts)) is not None:
            verdicts[slot] = await self._judge(scored.settled, slot)
        return with_suspicions(scored.settled, verdicts)

    async def probe(self, seed: int) -> Probe | None:
        """What the judge says of the probe that goes with a seed, if one does."""
        drawn = self.probes.draw(self.run_seed, seed) if self.probes else None
        if drawn is None:
            return None
        comparison = _Comparison(
            seed=seed,
            slot=drawn.gold,
            pair=PROBED_PAIR,
            reference=drawn.reference,
            candidate=drawn.candidate,
            purposes=(Purpose.PROBE, Purpose.PROBE_SWAPPED),
        )
        return Probe(drawn.gold, drawn.expected, tuple(await self._labels(comparison)))

    async def _judge(self, settled: Settled, slot: int) -> Verdict:
        reference = settled.reference()
        assert reference is not None, "without a reference a rule has spoken"  # noqa: S101  # a programmer's mistake
        comparison = _Comparison(
            seed=settled.plan.seed.number,
            slot=slot,
            pair=str(settled.plan.slots[slot].pair),
            reference=reference,
            candidate=next(candidate for candidate in settled.candidates() if candidate.slot == slot),
        )
        return combine(slot, await self._labels(comparison))

    async def _labels(self, comparison: _Comparison) -> list[Label]:
        """What each asked order says, straight order first."""
        orders = (False, True) if self.swap else (False,)
        async with asyncio.TaskGroup() as group:
            labels = [group.create_task(self._ask(comparison, swapped=order)) for order in orders]
        return [label.result() for label in labels]

    async def _ask(self, comparison: _Comparison, *, swapped: bool) -> Label:
        label: Label = "unparsed"
        for ordinal in range(ASKS):
            key = CallKey(comparison.seed, comparison.purposes[swapped], comparison.slot, ordinal)
            call = self._call(comparison, key, swapped=swapped)
            label = call.read(await self.asker.ask(self._request(comparison, key, call)))
            if label != "unparsed":
                break
        return label

    def _call(self, comparison: _Comparison, key: CallKey, *, swapped: bool) -> JudgeCall:
        return self.prompts.judge(
            comparison.reference,
            comparison.candidate,
            swapped=swapped,
            same_instruction=comparison.reference.instruction == comparison.candidate.instruction,
            rng=rng.derive(self.run_seed, "fence", *_name(key)),
        )

    def _request(self, comparison: _Comparison, key: CallKey, call: JudgeCall) -> Request:
        return Request(
            key=key,
            endpoint=self.agent.endpoint,
            messages=call.messages,
            params=self.agent.params,
            random_seed=rng.derive_int(self.run_seed, "sample", *_name(key), bits=SEED_BITS),
            agent=self.agent.name,
            pair=comparison.pair,
            choices=call.choices,
        )


def _name(key: CallKey) -> tuple[int | str, ...]:
    return key.seed, key.purpose, key.slot, key.ordinal
