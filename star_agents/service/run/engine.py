"""An assembled run: what the lifecycle drives and what a snapshot reads."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from star_agents.core.errors import ConfigError
from star_agents.core.records import Epoch, PairWeights, Plan, RowSource, Tally
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.servers.replicas import LocalReplicas
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import Evolver
from star_agents.pipeline.graph import Graph
from star_agents.scoring.pool import ScorerPool
from star_agents.service.changes import retune
from star_agents.service.changes.pool_request import Cast, PoolRequest, resolve
from star_agents.service.changes.retune import RetuneRequest
from star_agents.service.config.wiring import prices_of
from star_agents.service.run.feed import FedSeeds
from star_agents.service.run.follow import Follower
from star_agents.service.run.intake import Intake
from star_agents.service.run.job import Inputs, Job
from star_agents.service.run.orders import Orders
from star_agents.service.run.sizing import Sizer
from star_agents.service.view.bill import Bill, BudgetStatus, bill, budget_status
from star_agents.storage.dead_letters import FailureKind, failure_kinds
from star_agents.storage.export import Exported, ExportOptions, export, export_dead_letters
from star_agents.storage.lost import Lost, OnLost
from star_agents.storage.recovery import Standing, read_spend
from star_agents.storage.spending import Account, Spend
from star_agents.storage.store import RunStore

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts of a run that somebody outside needs to see or to steer."""

    job: Job
    inputs: Inputs
    reopened: tuple[Plan, ...]
    weights_at_start: PairWeights
    begun: Standing
    """Where the run stood when this start began."""
    lost: tuple[Lost, ...]
    """Files of finished rows that were gone then."""
    spend: Mapping[Account, Spend]
    """As of the last look into the store."""
    purse: Purse
    intake: Intake
    graph: Graph
    sizer: Sizer
    board: Board
    evolver: Evolver
    fleet: Fleet
    scorer: ScorerPool
    servers: tuple[LocalReplicas, ...]
    store: RunStore
    source: FedSeeds
    follower: Follower | None
    orders: Orders
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self) -> None:
        """Run the graph; see `Graph.run`."""
        await self.graph.run(self.reopened)

    async def keep_store_small(self) -> None:
        """Move finished rows out of the database as they come; ends only by being cancelled."""
        await self.store.keep_small(keep_entries=self.job.settings.memory.capacity)

    async def change_pool(self, request: PoolRequest, *, command: int) -> Epoch:
        """Change the pool between two batches, as an order says; returns what was done, which is durable and shown.

        Raises:
            ConfigError: the change cannot be made, with every reason.
            StoreError: it could not be made durable; the run ends.
        """
        async with self._changing:  # names are worked out against a pool that stays as it is until they are acted on
            change = resolve(request, self._cast())
            for agent in change.agents:
                self.inputs.agents.admit(agent)  # before the pair is shown: planning may draw it in the same breath
            try:
                await self.evolver.change(
                    add=change.add,
                    retire=change.retire,
                    reason=change.reason,
                    agents=change.agents,
                    command=command,
                )
            except ConfigError:
                for agent in change.agents:
                    self.inputs.agents.dismiss(agent)
                raise
            return self.evolver.changes[-1]

    def retune(self, request: RetuneRequest) -> None:
        """Set limits of endpoints and ceilings of the budget for the rest of this start; see `service.retune`.

        Raises:
            ConfigError: something cannot be set, and nothing was.
        """
        changed = retune.retuned(self.job.settings, request.values)
        retune.apply(changed, request.values, self.fleet, self.purse)
        self.job = replace(self.job, settings=changed)

    def _cast(self) -> Cast:
        return Cast(
            settings=self.job.settings,
            templates=self.inputs.templates,
            agents=self.inputs.agents,
            base=self.inputs.base,
            pool=self.board.weights.pairs,
        )

    @property
    def changes(self) -> tuple[Epoch, ...]:
        """Every change of the pool, over all starts, oldest first."""
        return (*self.begun.epochs, *self.evolver.changes)

    async def export(self) -> Exported:
        """Write the data set of everything learnt so far, and the calls that failed for good.

        Raises:
            StoreError: a row is damaged, or the output cannot be written.
        """
        output, folder = self.job.settings.output, self.job.folder
        options = ExportOptions(allow_missing=self.job.allow_missing)
        write = partial(export, row_format=output.format, candidates=output.candidates, options=options)
        await asyncio.to_thread(export_dead_letters, folder.database, folder.out, self._on_lost)
        return await asyncio.to_thread(write, folder.database, folder.out / output.format)

    @property
    def _on_lost(self) -> OnLost | None:
        return tell_lost if self.job.allow_missing else None

    async def failures(self) -> tuple[FailureKind, ...]:
        """How many calls failed for good, by endpoint and reason, over all starts.

        Raises:
            StoreError: the store cannot be read.
        """
        return await asyncio.to_thread(failure_kinds, self.job.folder.database, self._on_lost)

    @property
    def seeds_done(self) -> int:
        """Seeds learnt from, over all starts."""
        return sum(seeds_by_source(self.evolver.tally).values())

    @property
    def seeds_total(self) -> int:
        """Seeds that this start will end with; rows found unusable are none."""
        before = self.begun.finished + self.begun.in_flight
        skipped = self.begun.next_seed - before + self.source.bad
        usable, limit = self.inputs.num_seeds + self.source.num_fed - skipped, self.job.limit
        return usable if limit is None else min(usable, before + limit)

    @property
    def seeds_kept(self) -> int:
        """Those that left a row."""
        rows = seeds_by_source(self.evolver.tally)
        return sum(count for source, count in rows.items() if source is not RowSource.DROPPED)

    async def look_up_spend(self) -> None:
        """See what is booked in the store by now; what is shown is what is durable.

        Raises:
            StoreError: the store cannot be read.
        """
        self.spend = await asyncio.to_thread(read_spend, self.job.folder.database)

    def bill(self) -> Bill:
        """What the run has cost, over all starts, when it was last looked up."""
        return bill(self.spend, prices_of(self.job.settings))

    def budget(self) -> BudgetStatus | None:
        """The ceilings and what is below them now, or None where there is no ceiling."""
        budget = self.purse.budget
        return budget_status(budget, waiting=self.purse.waiting) if budget.is_limited else None


def tell_lost(lost: Lost) -> None:
    """Say what is passed over."""
    log.warning("%s", lost)


def seeds_by_source(tally: Tally) -> dict[RowSource, int]:
    """Seeds learnt from, by where their row came from."""
    return {source: tally.events.get(f"row.{source}", 0) for source in RowSource}
