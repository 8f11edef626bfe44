"""What do learning and remembering cost in time: an update of 1,000 pairs, and a look into a large memory bank?"""

import time
from collections.abc import Callable
from typing import get_args

import numpy as np
from matplotlib.figure import Figure

from bench.harness.report import spread
from bench.studies.plots import figure
from bench.studies.study import QUICK, Arm, Scale, Study
from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.core.rng import derive
from star_agents.policy.credits import Credit
from star_agents.policy.memory import MemoryBank
from star_agents.policy.weights import uniform
from star_agents.service.config.learning import rule_of
from star_agents.service.config.settings import EvolutionSection

PAIRS = 1000
BATCH_SEEDS, PAIRS_PER_SEED = 256, 5
DIMENSIONS = 384
"""Of all-MiniLM-L6-v2, the default embedder."""
MOST_ENTRIES = 50_000
"""`bench.memory` goes to a million, which takes minutes to fill."""
QUERIES = 1000
MEMORY_MOST_MS = UPDATE_MOST_MS = 1.0


def study(scale: Scale) -> Study:
    updates = {rule: _update_ms(rule) for rule in get_args(EvolutionSection.model_fields["rule"].annotation)}
    largest = 2_000 if scale is QUICK else MOST_ENTRIES
    banks = _memory_ms([size for size in (1_000, 10_000) if size < largest] + [largest])
    what = f"update, {PAIRS} pairs, {BATCH_SEEDS * PAIRS_PER_SEED} credits of {BATCH_SEEDS} seeds"
    rows = [{"what": f"{what}: {rule}", "ms": spread(times)} for rule, times in updates.items()]
    for size, (adding, asking) in banks.items():
        rows.append({"what": f"memory of {size} entries: add", "ms": spread(adding)})
        rows.append({"what": f"memory of {size} entries: pool", "ms": spread(asking)})
    return Study(
        name="costs",
        rows=rows,
        figure=_plot(banks),
        notes=["Median (least..most); of the memory the least and most are the 1st and 99th percentile."],
        claims={
            "an update takes less than 1 ms": max(float(np.median(times)) for times in updates.values())
            < UPDATE_MOST_MS,
            f"a pool of {largest} entries takes less than 1 ms": float(np.median(banks[largest][1])) < MEMORY_MOST_MS,
        },
    )


def _update_ms(rule_name: str, rounds: int = 200) -> list[float]:
    settings = Arm(rule_name, (f"evolution.rule={rule_name}",)).settings()
    rule = rule_of(settings, num_pairs=PAIRS, num_seeds=100_000)
    rng = derive(17, "bench", "update")
    pairs = [AgentPair("keep", f"agent-{number}") for number in range(PAIRS)]
    batch = [Credit(rng.choice(pairs), rng.random()) for _ in range(BATCH_SEEDS * PAIRS_PER_SEED)]
    weights = uniform(pairs)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        weights = rule.update(weights, batch)
        times.append(1000 * (time.perf_counter() - began))
    return times


def _memory_ms(sizes: list[int]) -> dict[int, tuple[list[float], list[float]]]:
    """By size of the bank, milliseconds of adding to it and of asking it."""
    chance = np.random.default_rng(17)
    centres = chance.normal(size=(256, DIMENSIONS))
    bank = MemoryBank(2 * max(sizes), 10, 0.3)
    added, found = 0, {}

    def vector() -> bytes:
        near = centres[chance.integers(len(centres))] + 0.7 * chance.normal(size=DIMENSIONS)
        return bytes((near / np.linalg.norm(near)).astype("<f4").tobytes())

    for size in sizes:
        while added < size - QUERIES:
            bank.add(MemoryEntry(added, AgentPair("keep", f"agent-{added % 10}"), 0.5, vector()))
            added += 1
        entries = [MemoryEntry(n, AgentPair("keep", "agent-0"), 0.5, vector()) for n in range(added, size)]
        adding = [_timed_ms(lambda entry=entry: bank.add(entry)) for entry in entries]  # type: ignore[misc]  # early bound
        added = size
        asked = [vector() for _ in range(QUERIES)]
        asking = [_timed_ms(lambda one=one: bank.pool(one)) for one in asked]  # type: ignore[misc]  # early bound
        found[size] = (_central(adding), _central(asking))
    return found


def _timed_ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def _central(values: list[float]) -> list[float]:
    """Without the percent at either end."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    return ordered[cut : len(ordered) - cut]


def _plot(banks: dict[int, tuple[list[float], list[float]]]) -> Figure:
    picture, (panel,) = figure()
    for column, label in enumerate(("add", "pool")):
        panel.loglog(list(banks), [float(np.median(times[column])) for times in banks.values()], "o-", label=label)
    panel.axhline(1.0, color="0.6", linestyle=":")
    panel.set(title="Memory bank", xlabel="entries", ylabel="ms, median")
    panel.legend()
    return picture
