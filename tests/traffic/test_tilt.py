"""The tilt towards idle capacity, and what it may never do."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.tilt import tilt

PAIRS = st.lists(st.tuples(st.floats(1e-9, 1) | st.just(0.0), st.floats(0, 1)), min_size=1, max_size=30).filter(
    lambda pairs: sum(p for p, _ in pairs) > 1e-6
)


@given(PAIRS, st.floats(0, 20), st.floats(0.01, 1.0))
def test_the_law(pairs: list[tuple[float, float]], strength: float, keep: float) -> None:
    """A probability again, no pair below its share, nothing from nothing."""
    p, idle = [weight for weight, _ in pairs], [share for _, share in pairs]
    q = tilt(p, idle, strength, keep)
    assert math.isclose(math.fsum(q), 1.0, rel_tol=1e-9)
    for before, after in zip(p, q, strict=True):
        assert after >= keep * before / math.fsum(p) * (1 - 1e-9)
        assert (after == 0.0) == (before == 0.0)


@given(PAIRS, st.floats(0, 20))
def test_more_idle_is_never_less_likely(pairs: list[tuple[float, float]], strength: float) -> None:
    """Of two pairs, the one that is more idle gains at least as much, relative to its weight."""
    pairs = sorted((pair for pair in pairs if pair[0] > 1e-6), key=lambda pair: pair[1])
    if not pairs:
        return
    q = tilt([p for p, _ in pairs], [idle for _, idle in pairs], strength)
    gains = [after / p for after, (p, _) in zip(q, pairs, strict=True)]
    assert all(less <= more * (1 + 1e-9) for less, more in pairwise(gains))


@given(PAIRS, st.floats(0, 1), st.floats(0, 20))
def test_without_a_difference_nothing_changes(pairs: list[tuple[float, float]], idle: float, strength: float) -> None:
    """All equally idle, or no strength: the weights as they were, normalised."""
    p = [weight for weight, _ in pairs]
    plain = [weight / math.fsum(p) for weight in p]
    assert tilt(p, [idle] * len(p), strength) == pytest.approx(plain)
    assert tilt(p, [share for _, share in pairs], 0.0) == pytest.approx(plain)


def test_an_idle_endpoint_gains_from_a_busy_one() -> None:
    """Three equal pairs, one of them idle: half of each weight stays, the other half leans over."""
    assert tilt([1.0, 1.0, 1.0], [0.0, 0.0, 1.0], math.log(4.0)) == pytest.approx([0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("p", "idle", "strength", "keep"),
    [([1.0], [], 1.0, 0.5), ([1.0], [0.5], -1.0, 0.5), ([1.0], [0.5], 1.0, 0.0), ([0.0], [0.5], 1.0, 0.5)],
)
def test_nonsense_is_refused(p: list[float], idle: list[float], strength: float, keep: float) -> None:
    """Rather than drawn from."""
    with pytest.raises(ValueError, match="weights"):
        tilt(p, idle, strength, keep)
