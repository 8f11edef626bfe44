"""Decide what each seed will be asked, just in time, and make it durable before anything is sent.

Law: a plan is recorded before it leaves this stage, seeds are planned in source order, and every plan is
drawn from the weights that the board shows when it lets the seed enter: the newest, or those whose turn it is.
Cancelling this stage is how a run stops taking in: a plan recorded but not passed on is found open by the next
start.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from star_agents.core import rng
from star_agents.core.cast import Agents
from star_agents.core.ports import Completer, Embedder, SeedSource, Store
from star_agents.core.records import AgentPair, PairWeights, Plan, Seed
from star_agents.pipeline.board import Board
from star_agents.pipeline.channel import Sender
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.traffic.tilt import tilt

READ_AHEAD = 32
"""Seeds read and embedded together: large enough to fill an embedder's batch, small enough to start soon."""

LEANING = 2.0
"""How strongly a capacity-aware draw leans; a pair keeps at least half of its p (`traffic.tilt`)."""

MASK_POLL_S = 1.0
"""How often to look again when a seed could not be asked, or not judged."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What planning needs to know; it keeps no state of its own between seeds."""

    board: Board
    store: Store
    source: SeedSource
    embedder: Embedder | None
    completer: Completer
    agents: Agents
    base: tuple[AgentPair, ...]
    judge_endpoint: str
    options: DrawOptions
    run_seed: int
    idle_shares: Callable[[], Mapping[str, float]] | None = None
    """By endpoint, how much of its capacity is free now; given where the draw is to lean towards that."""

    async def run(self, plans: Sender[Plan], reopened: Sequence[Plan]) -> None:
        """Pass on the plans an earlier start left open, then plan the source to its end.

        A plan does not wait for the one before it to be durable: a store records them in the order in which they
        are asked for, so what a crash leaves is always the first plans, and one commit holds many of them.
        """
        for plan in reopened:
            await self.board.enter()
            self.board.begin(plan)
            await plans.send(plan)
        async with asyncio.TaskGroup() as group:
            async for seed, embedding in self._embedded():
                await self.board.enter()
                plan = await self._plan(seed, embedding)
                self.board.begin(plan)
                group.create_task(self._pass_on(plan, plans))

    async def _pass_on(self, plan: Plan, plans: Sender[Plan]) -> None:
        await self.store.assign(plan)
        await plans.send(plan)

    async def _embedded(self) -> AsyncIterator[tuple[Seed, bytes]]:
        while seeds := await self.source.read(READ_AHEAD):
            if self.embedder is None:
                vectors = [b""] * len(seeds)
            else:
                vectors = await self.embedder.embed([seed.question for seed in seeds])
            for seed, vector in zip(seeds, vectors, strict=True):
                yield seed, vector

    async def _plan(self, seed: Seed, embedding: bytes) -> Plan:
        masked = await self._masked()
        weights = self._leaning(self.board.drawable)
        # With nothing to draw from it, a pool would only keep what wins for such seeds out of the other draws.
        pool = self.board.memory.pool(embedding) if embedding and self.options.from_memory else ()
        slots = draw(
            weights,
            base=self.base,
            pool=pool,
            masked=masked,
            options=self.options,
            rng=rng.derive(self.run_seed, "pairs", seed.number),
        )
        return Plan(
            seed=seed,
            slots=slots,
            weights_version=weights.version,
            pool=pool,
            masked=tuple(sorted(masked)),
            embedding=embedding,
        )

    async def _masked(self) -> frozenset[AgentPair]:
        """Pairs that cannot be asked now; waits while that is all of them, or the judge or every base pair is down."""
        told: frozenset[str] = frozenset()
        while True:
            down = self.completer.unavailable()
            pairs = self.board.drawable.pairs
            masked = self._down(pairs, down)
            is_judged = self.judge_endpoint not in down and len(self._down(self.base, down)) < len(self.base)
            if is_judged and len(masked) < len(pairs):
                return masked
            if down != told:
                log.warning("planning waits for endpoints %s", ", ".join(sorted(down)))
                told = down
            await asyncio.sleep(MASK_POLL_S)

    def _leaning(self, weights: PairWeights) -> PairWeights:
        """The weights to draw by; the propensities of the draw are theirs."""
        if self.idle_shares is None:
            return weights
        idle = self.idle_shares()
        shares = [min(idle[name] for name in self.agents.endpoints_of(pair)) for pair in weights.pairs]
        return replace(weights, p=tilt(weights.p, shares, LEANING))

    def _down(self, pairs: Sequence[AgentPair], down: frozenset[str]) -> frozenset[AgentPair]:
        return frozenset(pair for pair in pairs if down & self.agents.endpoints_of(pair))
