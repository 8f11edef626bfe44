"""One simulated run: the stages of a real run, joined by the same code, in a made-up world.

Law: only what stands behind the ports is made up. A run is a function of its settings and of its number.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from star_agents.core.ports import Store
from star_agents.core.records import Tally
from star_agents.core.rng import derive_int
from star_agents.lab.ledger import Ledger
from star_agents.lab.outcome import Outcome
from star_agents.lab.ports import LabEmbedder, LabEndpoints, LabScorer, LabSeeds
from star_agents.lab.virtual import run_virtual
from star_agents.lab.world import World
from star_agents.pipeline.board import Board
from star_agents.pipeline.graph import Graph
from star_agents.policy.memory import MemoryBank
from star_agents.policy.weights import uniform
from star_agents.service.config import wiring
from star_agents.service.config.settings import Settings
from star_agents.service.run.job import Inputs, laboratory_inputs
from star_agents.service.run.sizing import Sizer
from star_agents.service.run.stages import Ports, board_of, evolver_of, stages_of
from star_agents.service.view.bill import bill

SEED_BITS = 31

COLLECTIONS = 20_000, 50, 100
"""Thresholds of Python's collector: with its own it takes a third of the time to find next to nothing."""


@dataclass(frozen=True, slots=True)
class Laboratory:
    """What all runs of one config share."""

    settings: Settings
    inputs: Inputs
    world: World

    @classmethod
    def build(cls, settings: Settings) -> "Laboratory":
        """The world of a config, and who works in it. Nobody probes its judge, whose truth is known.

        Raises:
            ConfigError: a template is missing or unsound.
        """
        settings = settings.model_copy(update={"judge": settings.judge.model_copy(update={"probes": None})})
        inputs = laboratory_inputs(settings)
        return cls(settings, inputs, World(settings.laboratory, inputs, seed=settings.run.seed))

    def run(self, number: int = 0) -> Outcome:
        """Simulate the run of this number on virtual time; number 0 has the config's own `run.seed`."""
        settings = self.settings_of(number)
        ledger = Ledger(self.world, replacement=settings.sampling.replacement)
        began = time.perf_counter()
        with _rare_collections():
            virtual_s = run_virtual(self._timed(settings, ledger))
        return self._outcome(settings, ledger, virtual_s, time.perf_counter() - began)

    def settings_of(self, number: int) -> Settings:
        """The config with the chance of that run."""
        section = self.settings.run
        seed = derive_int(section.seed, "run", number, bits=SEED_BITS) if number else section.seed
        return self.settings.model_copy(update={"run": section.model_copy(update={"seed": seed})})

    async def simulate(self, settings: Settings, store: Store) -> Board:
        """Run the stages to the end of the seeds, on whatever loop this is called on."""
        bank = settings.memory
        memory = MemoryBank(bank.capacity, bank.neighbours, bank.min_similarity)
        limits = {name: wiring.assumed_concurrency(section) for name, section in settings.endpoints.items()}
        bounds = wiring.in_flight_bounds(settings)
        in_flight = wiring.first_in_flight(settings, bounds, sum(limits.values()))
        board = board_of(settings, self.inputs, uniform(self.inputs.pool), memory, max_in_flight=in_flight)
        endpoints = LabEndpoints(self.world, limits, settings.run.seed)
        evolver = evolver_of(settings, self.inputs, board, store, Tally(()))
        stages = stages_of(settings, self.inputs, self._ports(settings, store, endpoints), evolver)
        graph = Graph(stages, board, most_in_flight=bounds.at_most)
        sizer = Sizer(board, endpoints.snapshot, lambda: evolver.last, bounds)
        async with asyncio.TaskGroup() as group:
            sizing = group.create_task(sizer.run())
            await graph.run()
            sizing.cancel()
        return board

    async def _timed(self, settings: Settings, store: Store) -> float:
        await self.simulate(settings, store)
        return asyncio.get_running_loop().time()

    def _ports(self, settings: Settings, store: Store, endpoints: LabEndpoints) -> Ports:
        seed = settings.run.seed
        return Ports(
            completer=endpoints,
            store=store,
            source=LabSeeds(self.world, seed),
            scorer=LabScorer(self.world, seed, has_large=settings.scoring.large is not None),
            embedder=LabEmbedder(self.world, seed) if settings.memory.embedder is not None else None,
            idle_shares=endpoints.idle_shares,
        )

    def _outcome(self, settings: Settings, ledger: Ledger, virtual_s: float, wall_s: float) -> Outcome:
        total = bill(ledger.spend, wiring.prices_of(settings)).total
        sums = ledger.sums
        return Outcome(
            run_seed=settings.run.seed,
            seeds=ledger.num_seeds,
            virtual_s=virtual_s,
            wall_s=wall_s,
            selected=sums.selected.value,
            drawn=ledger.drawn.value,
            base=ledger.base.value,
            regret=sums.regret.value or 0.0,
            rows=dict(ledger.rows),
            failures=ledger.failures,
            calls=dict(ledger.calls),
            tokens=total.tokens,
            usd=None if total.is_at_least else total.usd,
            pairs=tuple(map(str, self.inputs.pool)),
            truth=self.world.truth,
            p=ledger.points[-1].p,
            points=tuple(ledger.points),
        )


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
