"""How well scoring and generating overlap: a run with both, over the longer of the two alone.

    python -m bench.pipeline [--model NAME] [--device D] [--seeds N] [--balance X ...] [--save] [--quick]

The real pipeline: seeds through plan, generate, score, judge, evolve and the store, a `star-agents mock-server` in a
process of its own as the only endpoint, a real `ScorerPool` with a real model. Three times over the same seeds:

- with both, which notes every sample and its score;
- generation alone: the same run, with a scorer that knows those scores and costs nothing;
- scoring alone: those samples through the same pool, as many as it likes at a time.

The endpoint is a clock and not a computer: its time is latency, which costs next to no CPU, so on a machine without a
GPU nothing but the scorer wants the cores, as it is where models are served elsewhere. The latency follows from a
first run, so that generation alone takes `--balance` times as long as scoring alone. At 1 both are as long, which
is where overlap is hardest: then there is nothing to hide the first answers and the last verdicts behind.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.clients.contract import Setup, Target, jobs_of
from bench.clients.engine import JobSeeds
from bench.clients.fleet import specs
from bench.clients.stages import TextScorer, Wiring, manifest, run_graph
from bench.harness.report import SCORING, Report, parser_of, spread
from bench.harness.samples import rows_of, texts_of
from bench.harness.server import serving
from star_agents.core import rng
from star_agents.core.ports import Scorer
from star_agents.core.records import Sample, Scores
from star_agents.endpoints.fleet import Fleet
from star_agents.pipeline.graph import BATCH_SEEDS
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from star_agents.service.run.collector import rare_collections
from star_agents.storage.store import RunStore

TARGET = 1.05
SLOTS = 8
SIGMA = 0.3
"""Of the latencies' logarithm."""
CALL_SAMPLES = 6 * BATCH_SEEDS
"""Samples of a call when scoring is alone: as many as a full batch of the pipeline has."""


@dataclass(slots=True)
class Noted:
    """A scorer that notes what another one says, when it was first asked and when it last answered."""

    scorer: Scorer
    scores: dict[Sample, Scores] = field(default_factory=dict)
    began: float | None = None
    ended: float = 0.0

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """See `core.ports.Scorer`."""
        self.began = self.began or time.perf_counter()
        found = await self.scorer.score(samples)
        self.ended = time.perf_counter()
        self.scores.update(zip(samples, found, strict=True))
        return found


@dataclass(slots=True)
class Known:
    """A scorer that costs nothing: it was told the scores, and makes up those that it was not told."""

    scores: Mapping[Sample, Scores]
    made_up: int = 0

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """See `core.ports.Scorer`."""
        unknown = [sample for sample in samples if sample not in self.scores]
        self.made_up += len(unknown)
        others = dict(zip(unknown, await TextScorer().score(unknown), strict=True))
        return [self.scores[sample] if sample in self.scores else others[sample] for sample in samples]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the pipeline: seconds, the CPU of this process, and calls that were answered.

    `edges_s` is the time before the first sample was to be scored and after the last was: nothing can overlap with it.
    """

    wall_s: float
    cpu_s: float
    calls: int
    edges_s: float


def main() -> None:
    options = options_of()
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with TemporaryDirectory() as folder, rare_collections(), loop as runner:
        rows = runner.run(measured(options, Path(folder)))
    Report(
        name="pipeline-" + options.device.partition(":")[0],
        command=f"python -m bench.pipeline --seeds {options.seeds} --rounds {options.rounds}"
        + " --quick" * options.quick,
        rows=rows,
        notes=[
            *map(verdict, rows),
            "",
            f"`{options.model}` scores; {SLOTS} calls in flight, latencies lognormal (sigma {SIGMA}).",
            "The quickest round counts. `edges s`: before the first sample was there, and after the last score.",
        ],
        packages=("star-agents", "aiohttp", *SCORING[1:]),
    ).show(save=options.save)


def verdict(row: Mapping[str, Any]) -> str:
    """The target, and whether it is met."""
    found, apart = row["together over the longer"], row["one after the other"]
    met = "met" if found <= TARGET else "missed"
    told = f"{found:.3f} of the longer alone (target <= {TARGET}: {met}); in turns {apart:.2f}"
    return f"- balance {row['balance']:g}: {told}"


def options_of() -> argparse.Namespace:
    """The command line; `--quick` wins over the sizes."""
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a packaged name, a folder, or a shape")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--balance", type=float, nargs="*", default=[1.0], help="generation over scoring")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.quick:
        options.model, options.seeds, options.rounds = "tiny", 24, 1
    return options


async def measured(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A line of the table for each balance."""
    from bench.scorers.models import find_weights

    model = await asyncio.to_thread(find_weights, options.model, folder, texts_of(rows_of()))
    settings = ScoringSettings(small=model, device=options.device)
    rows = []
    async with ScorerPool(settings, log_dir=folder, environ=os.environ) as pool:
        first = Noted(TextScorer())
        calls = (await run(Bench(folder, options.seeds, 0.001), first, 2)).calls
        some = list(first.scores)[: 2 * CALL_SAMPLES]
        await scored_alone(pool, some[:16])
        alone_s = await timed(scored_alone(pool, some)) * len(first.scores) / len(some)
        for balance in options.balance:
            bench = Bench(folder, options.seeds, balance * alone_s * SLOTS / calls)
            rows.append(await row(bench, balance, pool, options.rounds))
            print(rows[-1], flush=True)
    return rows


@dataclass(frozen=True, slots=True)
class Bench:
    """What is run: how many seeds, before an endpoint of which latency (median, seconds)."""

    folder: Path
    seeds: int
    latency_s: float


async def row(bench: Bench, balance: float, pool: ScorerPool, num_rounds: int) -> dict[str, Any]:
    """Together, generation alone, scoring alone, and again; of each the quickest counts."""
    together, generation, scoring = [], [], []
    scores: dict[Sample, Scores] = {}
    made_up = 0
    for _ in range(num_rounds):
        together.append(await run(bench, Noted(pool, scores), pool.capacity))
        known = Known(scores)
        generation.append(await run(bench, Noted(known), pool.capacity))
        scoring.append(await timed(scored_alone(pool, list(scores))))
        made_up += known.made_up
    both, alone = (min(runs, key=lambda each: each.wall_s) for runs in (together, generation))
    longer = max(alone.wall_s, min(scoring))
    return {
        "balance": balance,
        "together s": spread([each.wall_s for each in together]),
        "generation alone s": spread([each.wall_s for each in generation]),
        "scoring alone s": spread(scoring),
        "together over the longer": both.wall_s / longer,
        "one after the other": (alone.wall_s + min(scoring)) / longer,
        "edges s": both.edges_s,
        "samples": len(scores),
        "calls": f"{both.calls}, {alone.calls} alone",
        "latency ms": 1000 * bench.latency_s,
        "engine's cores": both.cpu_s / both.wall_s,
        "scores made up": made_up,
    }


async def run(bench: Bench, scorer: Noted, batches_at_once: int) -> Run:
    """One run over the seeds, each time from the start, before a server of its own."""
    flags = ["--latency-ms", f"{1000 * bench.latency_s:.3f}", "--latency-sigma", str(SIGMA), "--slots", str(SLOTS)]
    with ExitStack() as servers:
        server = await asyncio.to_thread(servers.enter_context, serving(*flags))
        setup = Setup(targets=(Target(url=server.url, model="m", slots=SLOTS),), folder=str(bench.folder))
        async with AsyncExitStack() as stack:
            fleet = await stack.enter_async_context(Fleet(specs(setup), 17))
            database = bench.folder / f"{time.monotonic_ns()}.db"
            store = await stack.enter_async_context(await RunStore.open(database, manifest(setup)))
            recovered = await store.load(capacity=1000)
            seeds = JobSeeds(jobs_of(setup, 0, bench.seeds))
            wiring = Wiring(setup, fleet, store, seeds, rng.derive_int(17, "run"), scorer, batches_at_once)
            cpu_s, began = time.process_time(), time.perf_counter()
            wall_s = await timed(run_graph(wiring, recovered))
            edges_s = wall_s - (scorer.ended - (scorer.began or began))
            return Run(wall_s, time.process_time() - cpu_s, await asyncio.to_thread(server.num_served), edges_s)


async def scored_alone(pool: ScorerPool, samples: Sequence[Sample]) -> None:
    """Put all samples through the pool, in full batches, as many at a time as keep it at work."""
    calls = iter([samples[at : at + CALL_SAMPLES] for at in range(0, len(samples), CALL_SAMPLES)])

    async def ask() -> None:
        for call in calls:
            await pool.score(call)

    async with asyncio.TaskGroup() as group:
        for _ in range(pool.capacity):
            group.create_task(ask())


async def timed(awaited: Awaitable[object]) -> float:
    """Seconds until it is done."""
    began = time.perf_counter()
    await awaited
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
