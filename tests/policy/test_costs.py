"""What deciding costs. `pytest --slow -s tests/policy/test_costs.py` writes the figures of docs/policy.md."""

import statistics
import sys
from collections.abc import Callable
from random import Random
from time import perf_counter

import numpy as np
import pytest

from star_agents.core.records import MemoryEntry
from star_agents.policy.absence import FilledRule
from star_agents.policy.credits import Credit
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.memory import MemoryBank
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule, fold, uniform
from tests.policy.sets import pairs

pytestmark = pytest.mark.slow

NDIM = 384


def best_us(name: str, repeats: int, act: Callable[[], object]) -> float:
    """Best time of `act` in microseconds, which a busy machine disturbs least; the median is written out too."""
    times: list[float] = []
    for _ in range(repeats):
        start = perf_counter()
        act()
        times.append((perf_counter() - start) * 1e6)
    sys.stdout.write(f"\n{name}: median {statistics.median(times):.0f} us, best {min(times):.0f} us")
    return min(times)


@pytest.mark.parametrize(
    "rule",
    [
        PaperRule(rate=0.5),
        PaperRule(rate=0.5, floor=0.0005),
        Exp3Rule(rate=0.1),
        Exp3Rule(rate=0.1, floor=0.0005),
        FilledRule(PaperRule(rate=0.5)),
        FilledRule(Exp3Rule(rate=0.1)),
        ThompsonRule(discount=0.9999),
        ThompsonRule(discount=0.9999, floor=0.0005),
    ],
    ids=repr,
)
def test_update(rule: UpdateRule) -> None:
    """A batch of 256 seeds with 5 credits each over 1,000 pairs is learnt in under a millisecond."""
    rng, thousand = Random(1), pairs(1000)
    batch = [Credit(rng.choice(thousand), rng.random(), 100.0) for _ in range(256 * 5)]
    weights = fold(uniform(thousand), [batch] * 10, rule)
    assert best_us(f"update, 1,000 pairs, 1,280 credits, {rule}", 100, lambda: rule.update(weights, batch)) < 1000


@pytest.mark.parametrize(("num_pairs", "limit_us"), [(10, 100), (1000, 2000)])
def test_draw(num_pairs: int, limit_us: float) -> None:
    """A seed's five pairs are drawn in a few hundred microseconds even from 1,000."""
    weights, rng = uniform(pairs(num_pairs)), Random(1)
    options = DrawOptions(pairs_per_seed=5, from_memory=2)
    base, pool = pairs(num_pairs + 1)[-1:], weights.pairs[:4]

    def act() -> object:
        return draw(weights, base=base, pool=pool, masked=(), options=options, rng=rng)

    assert best_us(f"draw 5 of {num_pairs:,} pairs", 500, act) < limit_us


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [4_000, 10_000, 100_000])
def test_memory(size: int) -> None:
    """The bank answers in about a millisecond and takes an entry in the same; a full one forgets as fast."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(size // 20, NDIM))

    def embedding() -> bytes:
        vector = centres[rng.integers(len(centres))] + 0.9 * rng.normal(size=NDIM)
        return bytes((vector / np.linalg.norm(vector)).astype("<f4"))

    bank, (pair,) = MemoryBank(size, 10, 0.3), pairs(1)
    entries = [MemoryEntry(number, pair, 0.5, embedding()) for number in range(size)]
    fill = iter(entries)
    assert best_us(f"memory, insert up to {size:,}", size, lambda: bank.add(next(fill))) < 1000
    more = iter([MemoryEntry(size + number, pair, 0.5, embedding()) for number in range(500)])
    assert best_us(f"memory, insert into a full {size:,}", 500, lambda: bank.add(next(more))) < 1000
    queries = iter([embedding() for _ in range(1000)])
    assert best_us(f"memory, pool of 10 from {size:,}", 1000, lambda: bank.pool(next(queries))) < 1000
