"""Replay against the laboratory's truth: how often do its 95 % intervals hold it, and when does it refuse?

    python -m bench.replay [--only CASE ...] [--logs N] [--save] [--quick]
    python -m bench.replay --example FOLDER      # the run folder of the worked example in docs/replay.md

Each case makes logs by one rule and asks them about another, which the laboratory then lets draw for itself
(`studies/offline.py`). Nothing here is a timing: the figures are the same on any machine. `bias` is the mean error of
the doubly robust estimate, `sd` what its errors spread, `half width` that of its mean interval, `ess` the mean of the
effective sample sizes. A log that replay refuses to answer for is counted, and left out of the rest.
With `--only`, `--save` keeps the lines of the other cases.
"""

import asyncio
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_args

from bench.harness.report import RESULTS, Report, parser_of
from bench.studies.offline import Case, Told, seen, simulated, table, told
from bench.studies.rules import WITH_MEMORY, WORLDS
from bench.studies.study import FROZEN, Arm
from star_agents.core.records import Plan, Update
from star_agents.lab.trial import Laboratory
from star_agents.policy.offpolicy import Per, Z
from star_agents.service.replay import Question
from star_agents.storage.folder import RunFolder
from star_agents.storage.manifest import Manifest
from star_agents.storage.store import RunStore

SEEDS = "laboratory.seeds=600"
MORE_SEEDS = "laboratory.seeds=1000"
MEMORY = *WITH_MEMORY, "sampling.from_memory=1", "sampling.pairs_per_seed=3"
CASES = (
    Case(
        name="paper asked about uniform",
        world=(SEEDS,),
        logging=("evolution.rate=auto",),
        question=Question(rule="uniform"),
        own=(FROZEN,),
    ),
    Case(
        name="paper asked about ten times the rate",
        world=(SEEDS,),
        logging=("evolution.rate=0.0006",),
        question=Question(rule="paper", rate=0.006),
        own=("evolution.rate=0.006",),
    ),
    Case(
        name="exp3 asked about thompson: by task, memory bank, three pairs, no replacement",
        world=(MORE_SEEDS, *WORLDS["by task"], *MEMORY, "sampling.replacement=false", "evolution.floor=0.01"),
        logging=("evolution.rule=exp3",),
        question=Question(rule="thompson"),
        own=("evolution.rule=thompson",),
    ),
    Case(
        name="paper asked about three times the rate: capacity-aware draws, no replacement",
        world=(SEEDS, "sampling.replacement=false", "sampling.max_in_flight=256"),
        logging=("evolution.rate=0.002", "sampling.capacity_aware=true"),
        question=Question(rule="paper", rate=0.006),
        own=("evolution.rate=0.006",),
    ),
    Case(
        name="paper, judged lazily, asked about uniform",
        world=(SEEDS,),
        logging=("evolution.rate=auto", "judge.policy=lazy"),
        question=Question(rule="uniform"),
        own=(FROZEN,),
    ),
    Case(
        name="paper, settled, asked about uniform",
        world=(SEEDS,),
        logging=("evolution.rate=0.1",),
        question=Question(rule="uniform"),
        own=(FROZEN,),
    ),
)
SHOWN = "ips", "snips", "dr", "gain"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", nargs="+", type=int, default=list(range(len(CASES))), help="places of cases, from 0")
    parser.add_argument("--logs", type=int, default=100, help="of each case")
    parser.add_argument("--example", type=Path, help="write a simulated run there, and nothing else")
    given = parser.parse_args()
    if given.example:
        example(given.example)
        return
    logs = 4 if given.quick else given.logs
    cases = [CASES[place] for place in given.only]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        rows = [line for case in cases for line in lines(case, asked(case, logs, processes))]
    Report(
        name="replay",
        command="python -m bench.replay",
        rows=sorted([*earlier({case.name for case in cases}), *rows], key=_place) if given.save else rows,
        notes=[
            "Logs of 600 seeds, by task 1,000. A hundred of them tell a coverage of 95 % to ± 4.3 %, forty to ± 6.8 %."
        ],
    ).show(save=given.save and not given.quick)


def earlier(cases: Collection[str]) -> list[dict[str, Any]]:
    """Saved lines of other cases: the figures are the same on any machine, so they may come from several runs."""
    file = RESULTS / "replay.json"
    lines = json.loads(file.read_text())["rows"] if file.exists() else []
    return [line for line in lines if line["case"] not in cases]


def _place(line: Mapping[str, Any]) -> int:
    return [case.name for case in CASES].index(line["case"])


def example(folder: Path) -> None:
    """A simulated run of 2,000 seeds as a run folder."""
    laboratory = Laboratory.build(Arm("", ("laboratory.seeds=2000",)).settings())
    updates = simulated(laboratory, 0).log
    folder.mkdir(parents=True)
    asyncio.run(_store(RunFolder(folder).database, laboratory.inputs.manifest, updates))


async def _store(database: Path, manifest: Manifest, updates: Sequence[Update]) -> None:
    async with await RunStore.open(database, manifest) as store:
        for plan in sorted((item.settled.plan for update in updates for item in update.graded), key=_number):
            await store.assign(plan)
        for update in updates:
            await store.learn(update)


def _number(plan: Plan) -> int:
    return plan.seed.number


def asked(case: Case, logs: int, processes: ProcessPoolExecutor) -> list[dict[Per, Told]]:
    """What every log of a case tells, beside the truth."""
    runs = range(logs)
    own, others = (table(processes.map(partial(seen, case, own=own), runs)) for own in (True, False))
    return list(processes.map(partial(told, case, own, others), range(logs)))


def lines(case: Case, logs: Sequence[Mapping[Per, Told]]) -> Iterator[dict[str, Any]]:
    """Lines of the table: by what is weighed as one."""
    for per in get_args(Per):
        yield {"case": case.name, "per": per} | _line([one[per] for one in logs])


def _line(logs: Sequence[Told]) -> dict[str, Any]:
    answered = [one for one in logs if not one.refusals]
    found: dict[str, Any] = {"answered": f"{len(answered)} of {len(logs)}"}
    found["ess"] = fmean(one.effective_seeds for one in logs)
    if len(answered) > 1:
        errors = [one.estimates["dr"].value - one.truth["dr"] for one in answered]
        found |= {"truth": fmean(one.truth["dr"] for one in answered), "bias": fmean(errors), "sd": stdev(errors)}
        found["half width"] = Z * fmean(one.estimates["dr"].error for one in answered)
        found |= {name: f"{share:.0%}" for name, share in _coverage(answered)}
    return found


def _coverage(answered: Sequence[Told]) -> Iterator[tuple[str, float]]:
    for name in SHOWN:
        held = [
            one.estimates[name].low <= one.truth[name] <= one.estimates[name].high
            for one in answered
            if name in one.truth
        ]
        if held:
            yield name, fmean(held)


if __name__ == "__main__":
    main()
