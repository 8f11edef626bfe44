"""Limits that are set anew while calls are out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.aimd import Aimd
from star_agents.traffic.control import Controller
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.gradient import Gradient
from star_agents.traffic.knee import Knee
from star_agents.traffic.pacing import Pacer, Rates

CONTROLLERS = st.sampled_from([lambda: Fixed(16), lambda: Aimd(ceiling=16), lambda: Gradient(ceiling=16),
                               lambda: Knee(ceiling=16)])  # fmt: skip


@given(make=CONTROLLERS, ceilings=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_limit_stays_below_its_newest_ceiling(make: type[Controller], ceilings: list[int]) -> None:
    """At once, and however much it is asked to grow afterwards; a fixed one is its ceiling."""
    controller, now = make(), 0.0
    for ceiling in ceilings:
        controller.bound(now, ceiling)
        for _ in range(60):
            now += 0.1
            controller.on_start(now, controller.limit)
            controller.on_success(now + 0.05, now, controller.limit, 10)
            assert 1 <= controller.limit <= ceiling
        if isinstance(controller, Fixed):
            assert controller.limit == ceiling


def test_a_ceiling_is_at_least_one() -> None:
    """There is always room for a call, or one is out."""
    with pytest.raises(ValueError, match="at least 1"):
        Fixed(4).bound(0.0, 0)


@given(
    before=st.integers(1, 6000),
    after=st.integers(1, 6000),
    changed_at=st.floats(0.0, 120.0),
)
def test_a_new_rate_holds_from_its_moment_on(before: int, after: int, changed_at: float) -> None:
    """In any minute after the change no more calls start than the new rate and its burst allow."""
    pacer, now = Pacer(Fixed(10_000), Rates(requests=before)), 0.0
    started: list[float] = []
    is_changed = False
    while now < changed_at + 60.0 and len(started) < 5000:
        if not is_changed and now >= changed_at:
            pacer.retune(now, Rates(requests=after), 10_000)
            is_changed = True
        wait = pacer.wait_s(now, 1)
        assert wait is not None
        if wait:
            now += min(wait, 5.0)
            continue
        pacer.start(now, 1)
        started.append(now)
    new = [at for at in started if at >= changed_at]
    span = (new[-1] - changed_at) if new else 0.0
    assert len(new) <= after / 60.0 * span + 1.0 + 1e-6


def test_calls_that_are_out_are_given_back_to_the_new_buckets() -> None:
    """A call let in under the old rates ends under the new ones without breaking either."""
    pacer = Pacer(Fixed(4), Rates(tokens=600))
    pacer.start(0.0, 50, 10)
    pacer.retune(1.0, Rates(requests=60, tokens=6000), 2)
    pacer.end(2.0, 50, 20, 10, 5)
    assert pacer.in_flight == 0
    assert pacer.limit == 2
    assert pacer.wait_s(30.0, 100) == 0.0
