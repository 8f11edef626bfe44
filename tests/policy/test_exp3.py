"""Exp3 against its textbook: Auer, Cesa-Bianchi, Freund and Schapire 2002, section 3."""

import math
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import PairWeights
from star_agents.policy.credits import Credit
from star_agents.policy.exp3 import Exp3Rule, auto_rate
from star_agents.policy.weights import uniform
from tests.policy.rules import PAIRS, batches, play
from tests.policy.sets import pairs


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.1, math.nan])
def test_rate_must_be_a_share(rate: float) -> None:
    """Gamma is the share of p that explores."""
    with pytest.raises(ValueError, match="exp3"):
        Exp3Rule(rate=rate)


def test_one_step_by_hand() -> None:
    """Two pairs, gamma 0.5: w_0 = exp(0.5 * (1 / 0.5) / 2), then half of p by w and half even."""
    after = Exp3Rule(rate=0.5).update(uniform(PAIRS[:2]), [Credit(PAIRS[0], 1.0, 1 / 0.5)])
    w = math.exp(0.5)
    assert after.p == pytest.approx((0.5 * w / (w + 1) + 0.25, 0.5 / (w + 1) + 0.25), rel=1e-15)
    assert after.state == pytest.approx((0.0, -0.5), rel=1e-15)


@given(batches, batches, st.floats(0.01, 1.0))
def test_the_update_identity(first: list[Credit], second: list[Credit], rate: float) -> None:
    """Ln w_a grows by gamma / K times the estimate of a, but for what all share; and p mixes w with an even share."""
    rule, num = Exp3Rule(rate=rate), len(PAIRS)
    before = rule.update(uniform(PAIRS), [*first, Credit(PAIRS[0], 0.5)])
    after = rule.update(before, second)
    estimates = [sum(one.pi * one.importance for one in second if one.pair == pair) for pair in PAIRS]
    moved = [new - old - rate / num * x for new, old, x in zip(after.state, before.state, estimates, strict=True)]
    assert moved == pytest.approx([moved[0]] * num, abs=1e-9)
    w = [math.exp(log) for log in after.state]
    assert after.p == pytest.approx([(1 - rate) * one / sum(w) + rate / num for one in w], rel=1e-12)


@given(st.permutations(range(12)), st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
def test_the_order_of_credits_does_not_matter(order: list[int], rewards: list[float]) -> None:
    """Exponents add up: any order gives the same weights, up to rounding."""
    batch = [Credit(PAIRS[number % 6], reward, 3.0) for number, reward in enumerate(rewards)]
    rule = Exp3Rule(rate=0.3)
    shuffled = rule.update(uniform(PAIRS), [batch[number] for number in order])
    assert shuffled.p == pytest.approx(rule.update(uniform(PAIRS), batch).p, rel=1e-12)


def test_a_pair_that_fell_far_behind_can_come_back() -> None:
    """The state knows how far it is behind when p is the even share to the last bit."""
    rule = Exp3Rule(rate=0.5)
    weights = PairWeights(0, PAIRS[:2], (0.75, 0.25), (0.0, -800.0))
    behind = rule.update(weights, [Credit(PAIRS[1], 1.0, 4.0)])
    assert behind.p[1] == 0.25
    assert behind.state == (0.0, -799.0)


def test_a_state_of_another_rule_is_refused() -> None:
    """Two numbers a pair are none of exp3."""
    with pytest.raises(ValueError, match="no state of exp3"):
        Exp3Rule(rate=0.5).update(PairWeights(0, PAIRS[:2], (0.5, 0.5), (0.0,) * 4), [Credit(PAIRS[0], 1.0)])


def test_auto_rate_is_that_of_the_corollary() -> None:
    """sqrt(K ln K / ((e - 1) N)), and never above 1; one pair has nothing to explore but gets a number."""
    assert auto_rate(10, 70_000) == pytest.approx(math.sqrt(10 * math.log(10) / ((math.e - 1) * 70_000)))
    assert auto_rate(10, 1) == 1.0
    assert auto_rate(1, 100) == auto_rate(2, 100)
    with pytest.raises(ValueError, match="at least one"):
        auto_rate(0, 10)


def adversary(num_seeds: int) -> list[list[float]]:
    """Rewards of 0 or 1 fixed in advance: the best pair changes twice, and one is good only in between."""
    rng = Random(5)
    phases = ([0.2, 0.5, 0.8, 0.4], [0.9, 0.5, 0.1, 0.4], [0.3, 0.6, 0.9, 0.4])
    rows = [phases[3 * number // num_seeds] for number in range(num_seeds)]
    return [[1.0 if rng.random() < mean else 0.0 for mean in row] for row in rows]


def test_regret_is_within_the_bound_of_theorem_3_1() -> None:
    """Against an adversary: G_max - E[G] <= (e - 1) gamma G_max + K ln K / gamma, at the gamma of the corollary."""
    num_seeds, num_pairs, runs = 2000, 4, 20
    rewards = adversary(num_seeds)
    best = max(sum(column) for column in zip(*rewards, strict=True))
    rate = auto_rate(num_pairs, num_seeds)
    earned = 0.0
    for seed in range(runs):
        versions = play(Exp3Rule(rate=rate), rewards, seed=seed)
        earned += sum(
            sum(p * x for p, x in zip(weights.p, row, strict=True))
            for weights, row in zip(versions, rewards, strict=False)
        )
    bound = (math.e - 1) * rate * best + num_pairs * math.log(num_pairs) / rate
    assert best - earned / runs <= bound
    assert bound < best  # else it would say nothing


def test_more_draws_a_seed_make_a_steadier_estimate() -> None:
    """Three draws of six make one estimate with less spread than one draw's, and lead to the same place."""
    means = [[0.2, 0.3, 0.4, 0.5, 0.6, 0.7]] * 1500
    spread = []
    for draws in (1, 3):
        best = [play(Exp3Rule(rate=0.1), means, draws=draws, seed=seed)[-1].p[-1] for seed in range(6)]
        spread.append(max(best) - min(best))
    assert spread[1] < spread[0]


def test_weights_of_a_thousand_pairs_stay_in_range() -> None:
    """A long run of one winner neither overflows nor loses the others."""
    many = pairs(1000)
    rule, weights = Exp3Rule(rate=1.0 / 3), uniform(many)
    for _ in range(50):
        weights = rule.update(weights, [Credit(many[0], 1.0, 3000.0)] * 100)
    assert weights.p[0] == pytest.approx(2 / 3, rel=1e-2)
    assert list(accumulate(weights.p))[-1] == pytest.approx(1.0)
