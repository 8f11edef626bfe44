"""Thompson sampling against its textbook: the posterior's counts, what is forgotten, and the chance of being best."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.records import PairWeights
from star_agents.policy.chance_of_best import chance_of_best
from star_agents.policy.credits import Credit
from star_agents.policy.thompson import ThompsonRule, auto_discount
from star_agents.policy.weights import uniform
from tests.policy.rules import PAIRS, batches, play


@pytest.mark.parametrize("discount", [0.0, -1.0, 1.1, math.nan])
def test_discount_must_be_a_share(discount: float) -> None:
    """It is what is left of a count."""
    with pytest.raises(ValueError, match="discount"):
        ThompsonRule(discount=discount)


@given(batches)
def test_without_forgetting_the_counts_are_sums(batch: list[Credit]) -> None:
    """Successes are the sum of pi and failures that of 1 - pi, pair by pair."""
    state = ThompsonRule().update(uniform(PAIRS), [*batch, Credit(PAIRS[0], 0.0)]).state
    for index, pair in enumerate(PAIRS):
        earned = [credit.pi for credit in batch if credit.pair == pair] + [0.0] * (index == 0)
        assert state[2 * index : 2 * index + 2] == pytest.approx((sum(earned), len(earned) - sum(earned)), abs=1e-9)


def test_forgetting_by_hand() -> None:
    """Each credit halves what was known of every pair, its own pair's included, before it counts."""
    batch = [Credit(PAIRS[0], 1.0), Credit(PAIRS[1], 0.25), Credit(PAIRS[0], 0.5)]
    state = ThompsonRule(discount=0.5).update(uniform(PAIRS[:2]), batch).state
    assert state == pytest.approx((0.25 + 0.5, 0.5, 0.125, 0.375))
    later = ThompsonRule(discount=0.5).update(PairWeights(1, PAIRS[:2], (0.5, 0.5), state), batch[:1]).state
    assert later == pytest.approx((0.375 + 1.0, 0.25, 0.0625, 0.1875))


def test_what_is_remembered_is_bounded() -> None:
    """However long a run is, the counts of all pairs together come to 1 / (1 - discount) and no more."""
    rule, weights = ThompsonRule(discount=auto_discount(2)), uniform(PAIRS[:2])
    for _ in range(20):
        weights = rule.update(weights, [Credit(PAIRS[0], 0.5), Credit(PAIRS[1], 0.5)] * 50)
    assert sum(weights.state) == pytest.approx(200, rel=1e-3)


def two(alpha: tuple[int, int], beta: tuple[int, int]) -> float:
    """P(X_0 > X_1) in closed form, for whole parameters (Cook 2005)."""

    def log_beta(a: int, b: int) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    # P(X_1 > X_0) = sum over i < alpha_1 of B(alpha_0 + i, beta_0 + beta_1) / ((beta_1 + i) B(1 + i, beta_1) B(X_0))
    return 1 - sum(
        math.exp(log_beta(alpha[0] + i, beta[0] + beta[1]) - log_beta(1 + i, beta[1]) - log_beta(alpha[0], beta[0]))
        / (beta[1] + i)
        for i in range(alpha[1])
    )


counts = st.tuples(st.integers(1, 400), st.integers(1, 400))


@given(counts, counts)
@settings(max_examples=150)
def test_of_two_the_chance_is_the_closed_form(alpha: tuple[int, int], beta: tuple[int, int]) -> None:
    """Within a hundredth, whatever the counts."""
    chance = chance_of_best(np.array(alpha, float), np.array(beta, float))
    assert chance[0] == pytest.approx(two(alpha, beta), abs=0.01)


@pytest.mark.parametrize(
    "posteriors",
    [
        [(1000, 100), (900, 110), (1, 1)],
        [(3000, 1000), (3050, 1000), (2, 2), (700, 300)],
        [(500 * q, 500 * (1 - q)) for q in (0.3, 0.35, 0.4, 0.45, 0.47, 0.5)],
        [(1 + k % 17, 1 + k % 13) for k in range(200)],
    ],
    ids=["a newcomer", "sharp", "many", "wide"],
)
def test_of_many_the_chance_is_that_of_sampling(posteriors: list[tuple[float, float]]) -> None:
    """Within a hundredth of how often each is the largest of 100,000 samples."""
    alpha, beta = np.array(posteriors, float).T
    rng, wins = np.random.default_rng(3), np.zeros(len(alpha))
    for _ in range(10):
        wins += np.bincount(rng.beta(alpha, beta, (10_000, len(alpha))).argmax(axis=1), minlength=len(alpha))
    assert np.abs(chance_of_best(alpha, beta) - wins / 100_000).max() < 0.01


def test_where_nothing_is_known_all_are_alike() -> None:
    """A thousand fresh posteriors: each may be the best."""
    assert chance_of_best(np.ones(1000), np.ones(1000)) == pytest.approx(np.full(1000, 0.001), rel=1e-9)


@given(st.lists(st.tuples(st.floats(1.0, 1e6), st.floats(1.0, 1e6)), min_size=1, max_size=40))
def test_chances_are_chances(posteriors: list[tuple[float, float]]) -> None:
    """Not negative, finite, and adding up to 1; equal posteriors have equal ones, and the order is of no account."""
    alpha, beta = np.array([*posteriors, posteriors[0]], float).T
    chance = chance_of_best(alpha, beta)
    assert (chance >= 0).all()
    assert math.fsum(chance.tolist()) == pytest.approx(1.0)
    assert chance[0] == chance[-1]
    assert chance_of_best(alpha[::-1], beta[::-1]) == pytest.approx(chance[::-1], abs=1e-9)


def test_it_finds_the_best_pair() -> None:
    """Of five pairs with means 0.3 to 0.7 nearly every draw is the best after 3,000 seeds."""
    versions = play(ThompsonRule(), [[0.3, 0.4, 0.5, 0.6, 0.7]] * 3000)
    assert versions[-1].p[-1] > 0.95


def test_regret_grows_like_a_logarithm() -> None:
    """What is lost in the second half of a stationary run is a small part of what is lost in the first."""
    means = [0.3, 0.4, 0.5, 0.6, 0.7]
    lost = [
        0.7 - sum(p * mean for p, mean in zip(one.p, means, strict=True))
        for one in play(ThompsonRule(), [means] * 4000)
    ]
    assert sum(lost[2000:]) < 0.2 * sum(lost[:2000])


def test_only_who_forgets_follows_a_drift() -> None:
    """When the best pair becomes the worst, a discounted posterior changes its mind and one that keeps all does not."""
    means = [[0.8, 0.5]] * 1500 + [[0.2, 0.5]] * 700
    kept, forgot = (play(ThompsonRule(discount=discount, floor=0.02), means)[-1].p for discount in (1.0, 0.99))
    assert forgot[1] > 0.8
    assert kept[1] < 0.2


def test_a_state_of_another_rule_is_refused() -> None:
    """One number a pair is none of thompson."""
    with pytest.raises(ValueError, match="no state of thompson"):
        ThompsonRule().update(PairWeights(0, PAIRS[:2], (0.5, 0.5), (0.0,) * 2), [Credit(PAIRS[0], 1.0)])
