"""An assembled run: what the lifecycle drives and what a snapshot reads."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from star_agents.core.records import PairWeights, Plan, RowSource
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.local import LocalServer
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import Evolver
from star_agents.pipeline.graph import Graph
from star_agents.scoring.pool import ScorerPool
from star_agents.service.job import Inputs, Job
from star_agents.service.settings import Endpoint, OpenAIEndpoint
from star_agents.storage.export import Exported, export
from star_agents.storage.recovery import Spend
from star_agents.storage.seeds import Seeds

TOKENS_PER_PRICE = 1_000_000
"""Prices are dollars per million tokens."""


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts of a run that somebody outside needs to see or to steer."""

    job: Job
    inputs: Inputs
    reopened: tuple[Plan, ...]
    weights_at_start: PairWeights
    spent_before: Mapping[str, Spend]
    skipped_before: int
    """Unusable rows that earlier starts came upon."""
    limit: int
    """Seeds are numbered below this; smaller than `inputs.num_seeds` where this start was given a limit."""
    graph: Graph
    board: Board
    evolver: Evolver
    fleet: Fleet
    scorer: ScorerPool
    servers: tuple[LocalServer, ...]
    source: Seeds

    async def run(self) -> None:
        """Run the graph; see `Graph.run`."""
        await self.graph.run(self.reopened)

    async def export(self) -> Exported:
        """Write the data set of everything learnt so far.

        Raises:
            StoreError: a row is damaged, or the output cannot be written.
        """
        output, folder = self.job.settings.output, self.job.folder
        write = partial(export, row_format=output.format, candidates=output.candidates)
        return await asyncio.to_thread(write, folder.database, folder.out / output.format)

    @property
    def seeds_done(self) -> int:
        """Seeds learnt from, over all starts."""
        return sum(self._rows().values())

    @property
    def seeds_total(self) -> int:
        """Seeds that this start will end with; rows found unusable are none."""
        return self.limit - self.skipped_before - self.source.bad

    @property
    def seeds_kept(self) -> int:
        """Those that left a row."""
        return sum(count for source, count in self._rows().items() if source is not RowSource.DROPPED)

    def _rows(self) -> dict[RowSource, int]:
        events = self.evolver.tally.events
        return {source: events.get(f"row.{source}", 0) for source in RowSource}

    def over_budget(self) -> str | None:
        """Why the run must stop taking in, or None while there is money and room."""
        budget, spent = self.job.settings.budget, self._spent()
        tokens = sum(spend.input_tokens + spend.output_tokens for spend in spent.values())
        if budget.tokens is not None and tokens >= budget.tokens:
            return f"budget.tokens: {tokens} of {budget.tokens} tokens are spent"
        endpoints = self.job.settings.endpoints
        dollars = sum(_dollars(endpoints[name], spend) for name, spend in spent.items() if name in endpoints)
        if budget.usd is not None and dollars >= budget.usd:
            return f"budget.usd: {dollars:.2f} of {budget.usd:.2f} dollars are spent"
        return None

    def _spent(self) -> dict[str, Spend]:
        """Tokens by endpoint, over all starts."""
        spent = dict(self.spent_before)
        for endpoint in self.fleet.snapshot():
            before = spent.get(endpoint.name, Spend())
            spent[endpoint.name] = Spend(
                input_tokens=before.input_tokens + endpoint.input_tokens,
                output_tokens=before.output_tokens + endpoint.output_tokens,
            )
        return spent


def _dollars(endpoint: Endpoint, spend: Spend) -> float:
    """What an endpoint has cost; one without a price costs nothing (a dollar budget demands prices)."""
    if not isinstance(endpoint, OpenAIEndpoint) or endpoint.price is None:
        return 0.0
    cost = spend.input_tokens * endpoint.price.input + spend.output_tokens * endpoint.price.output
    return cost / TOKENS_PER_PRICE
