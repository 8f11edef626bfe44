import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from star_agents.core.records import (
    AgentPair,
    PairWeights,
)
from star_agents.policy.credits import Credit
from star_agents.policy.weights import (
    HORIZON,
    SMALLEST,
    PaperRule,
    auto_rate,
    fold,
    raise_to_floor,
    uniform,
)
from tests.policy.sets import pairs

PAIRS = pairs(6)

masses = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12)
batches = st.lists(st.builds(Credit, st.sampled_from(PAIRS), st.floats(0.0, 1.0)), max_size=40)
rates = st.floats(1e-6, 2.0)
floors = st.floats(0.0, 0.16)


def proportions(mass: Sequence[float]) -> tuple[float, ...]:
    return tuple(value / math.fsum(mass) for value in mass)


def test_uniform_is_version_zero() -> None:
    """A run begins with every pair as likely as any other."""
    assert uniform(PAIRS[:4]) == PairWeights(0, PAIRS[:4], (0.25, 0.25, 0.25, 0.25))


@pytest.mark.parametrize(("given_pairs", "why"), [((), "no pair"), ((PAIRS[0], PAIRS[0]), "given once")])
def test_uniform_needs_distinct_pairs(given_pairs: tuple[AgentPair, ...], why: str) -> None:
    """No pair, or a pair given twice, has no uniform weights."""
    with pytest.raises(ValueError, match=why):
        uniform(given_pairs)


def test_auto_rate_spends_the_horizon() -> None:
    """The product beta * M * N is the same for runs of any length."""
    assert auto_rate(5, 70_000) * 5 * 70_000 == pytest.approx(HORIZON)


@pytest.mark.parametrize("numbers", [(0, 10), (5, 0)])
def test_auto_rate_needs_a_run(numbers: tuple[int, int]) -> None:
    """A run without pairs or seeds has no rate."""
    with pytest.raises(ValueError, match="at least one"):
        auto_rate(*numbers)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_rate_must_be_positive(rate: float) -> None:
    """A rate that could not learn is refused when the rule is made."""
    with pytest.raises(ValueError, match="rate"):
        PaperRule(rate=rate)


@pytest.mark.parametrize("floor", [-0.1, math.nan])
def test_floor_must_not_be_negative(floor: float) -> None:
    """A floor below 0 is refused when the rule is made."""
    with pytest.raises(ValueError, match="floor"):
        PaperRule(rate=1.0, floor=floor)


def test_floor_must_leave_something() -> None:
    """Floors that take the whole mass are refused, and the message names the numbers."""
    with pytest.raises(ValueError, match=r"0\.5 for each of 2 pairs"):
        PaperRule(rate=1.0, floor=0.5).update(uniform(PAIRS[:2]), [])


def test_equation_8_by_hand() -> None:
    """p_a += rate * pi, then normalise, one credit after the other."""
    after = PaperRule(rate=1.0).update(uniform(PAIRS[:2]), [Credit(PAIRS[0], 1.0), Credit(PAIRS[1], 0.5)])
    first = (1.5 / 2, 0.5 / 2)
    assert after.p == pytest.approx((first[0] / 1.5, (first[1] + 0.5) / 1.5), rel=1e-15)


def test_credit_for_an_unknown_pair() -> None:
    """A credit for a pair without a weight is an error that names the pair."""
    with pytest.raises(ValueError, match=r"keep\+stranger"):
        PaperRule(rate=1.0).update(uniform(PAIRS), [Credit(AgentPair("keep", "stranger"), 1.0)])


@given(batches, rates, floors)
def test_weights_stay_weights(batch: list[Credit], rate: float, floor: float) -> None:
    """After any batch p is positive, at least the floor, and sums to 1; the version is the next."""
    after = PaperRule(rate=rate, floor=floor).update(uniform(PAIRS), batch)
    assert math.fsum(after.p) == pytest.approx(1.0, abs=1e-12)
    assert min(after.p) > 0
    assert min(after.p) >= floor
    assert after.version == 1
    assert after.pairs == PAIRS


@given(st.lists(batches, max_size=6), rates, floors)
def test_fold_of_the_log_is_the_live_state(log: list[list[Credit]], rate: float, floor: float) -> None:
    """Replaying the committed batches gives the live weights, bit for bit."""
    rule = PaperRule(rate=rate, floor=floor)
    live = uniform(PAIRS)
    for batch in log:
        live = rule.update(live, batch)
    assert fold(uniform(PAIRS), log, rule) == live


@given(masses, rates)
def test_no_credit_moves_nothing(mass: list[float], rate: float) -> None:
    """An empty batch, and one in which nothing earned, leave p as it was and still make a version."""
    before = PairWeights(4, PAIRS[: len(mass)], proportions(mass)[: len(PAIRS)])
    for batch in ([], [Credit(PAIRS[0], 0.0)]):
        assert PaperRule(rate=rate).update(before, batch) == PairWeights(5, before.pairs, before.p)


@given(batches, st.integers(0, 40), rates)
def test_a_batch_may_be_split(batch: list[Credit], cut: int, rate: float) -> None:
    """Two batches in a row teach what their union teaches, up to rounding."""
    rule = PaperRule(rate=rate)
    whole = fold(uniform(PAIRS), [batch], rule)
    halves = fold(uniform(PAIRS), [batch[:cut], batch[cut:]], rule)
    assert halves.p == pytest.approx(whole.p, rel=1e-9)


def test_a_rate_beyond_reason_neither_overflows_nor_kills() -> None:
    """With a rate of 1e50 the running sum is brought back in time, and the losers stay above 0."""
    after = PaperRule(rate=1e50).update(uniform(PAIRS), [Credit(PAIRS[0], 1.0)] * 50)
    assert after.p[0] == pytest.approx(1.0)
    assert min(after.p) == SMALLEST


def test_floor_raises_the_low_and_scales_the_rest() -> None:
    """What is below is raised to the floor; the others keep their proportions."""
    assert raise_to_floor((0.6, 0.3, 0.1, 0.0), 0.05) == pytest.approx((0.57, 0.285, 0.095, 0.05))


def test_floor_reaches_what_scaling_pushes_under() -> None:
    """A weight that falls below the floor only because the others took their share is raised too."""
    assert raise_to_floor((0.89, 0.101, 0.009), 0.1) == pytest.approx((0.8, 0.1, 0.1))


def test_floor_leaves_alone_what_is_above() -> None:
    """Applying the floor again changes nothing: it never adds up to a pull towards uniform."""
    once = raise_to_floor((0.9, 0.05, 0.05), 0.08)
    assert raise_to_floor(once, 0.08) == once


@given(masses.map(proportions), st.floats(0.0, 1.0))
@example((0.3019558347763283, 0.6980441652236716), 0.9999999999999999)  # rounding leaves the larger one under as well
def test_floor_law(p: tuple[float, ...], share: float) -> None:
    """For any floor that fits: nothing is below it, the sum is 1, and order is kept."""
    floor = share / len(p)
    assume(floor * len(p) < 1)
    raised = raise_to_floor(p, floor)
    assert min(raised) >= floor
    assert math.fsum(raised) == pytest.approx(1.0, abs=1e-12)
    order = sorted(range(len(p)), key=p.__getitem__)
    assert all(raised[low] <= raised[high] for low, high in pairwise(order))
