"""The dynamics that Eq. 8 gives a run (docs/algorithm.md section 4), by seeded simulation."""

from random import Random

import pytest

from star_agents.core.records import PairWeights
from star_agents.core.rng import derive
from star_agents.policy.credits import Credit
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.weights import HORIZON, PaperRule, auto_rate, uniform
from tests.policy.sets import pairs

M = 5
TEN = pairs(10)
MEANS = {pair: 0.30 + 0.02 * rank for rank, pair in enumerate(TEN)}
"""Mean pi of each pair, worst first; a spread of 0.18 over ten pairs."""


def run(num_seeds: int, horizon: float) -> PairWeights:
    """A run with paper settings: ten pairs, i.i.d. draws, floor 0, credit for all."""
    rule = PaperRule(rate=auto_rate(M, num_seeds) * horizon / HORIZON)
    options = DrawOptions(pairs_per_seed=M, replacement=True)
    weights = uniform(TEN)
    for number in range(num_seeds):
        rng = derive(17, "figure 5", number)
        slots = draw(weights, base=(), pool=(), masked=(), options=options, rng=rng)
        weights = rule.update(weights, [Credit(slot.pair, reward(MEANS[slot.pair], rng)) for slot in slots])
    return weights


def reward(mean: float, rng: Random) -> float:
    """A noisy pi in [0, 1] with the given mean."""
    return 1.0 if rng.random() < mean else 0.0


def test_figure_5() -> None:
    """The product beta * M * N = 17.5 brings the best of ten pairs from 10 % to about 30 % and the worst near 0."""
    weights = run(3_000, HORIZON)
    assert weights.version == 3_000
    assert 0.25 < weights.p[-1] < 0.36
    assert weights.p[0] < 0.03
    assert max(weights.p) == weights.p[-1]


def test_a_horizon_of_100_leaves_one_pair() -> None:
    """With beta * M * N = 100 the run collapses onto the best pairs."""
    assert sum(run(3_000, 100.0).p[-2:]) > 0.9


def test_a_horizon_of_1_moves_nothing() -> None:
    """With beta * M * N = 1 the weights end where they began."""
    assert max(abs(p - 0.1) for p in run(3_000, 1.0).p) < 0.02


def test_expected_motion_is_replicator_dynamics() -> None:
    """The mean change of p over a seed is beta * M * p * (pi - mean pi), to first order in beta."""
    rate, trials = 1e-3, 4_000
    p = (0.5, 0.3, 0.2)
    values = (0.2, 0.6, 0.9)
    weights = PairWeights(0, TEN[:3], p)
    rule, options = PaperRule(rate=rate), DrawOptions(pairs_per_seed=M, replacement=True)
    moved = [0.0, 0.0, 0.0]
    for trial in range(trials):
        slots = draw(weights, base=(), pool=(), masked=(), options=options, rng=derive(3, "motion", trial))
        after = rule.update(weights, [Credit(slot.pair, values[TEN.index(slot.pair)]) for slot in slots])
        moved = [total + new - old for total, new, old in zip(moved, after.p, p, strict=True)]
    mean_pi = sum(share * value for share, value in zip(p, values, strict=True))
    expected = [rate * M * share * (value - mean_pi) for share, value in zip(p, values, strict=True)]
    assert [total / trials for total in moved] == pytest.approx(expected, rel=0.05)
