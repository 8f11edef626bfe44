"""The pacer: a limit, a pause, what a minute allows, and how the gate opens again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.control import Cap, Controller
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.pacing import Pacer, Rates
from tests.traffic.servers import RateLimitedApi, constant, lognormal
from tests.traffic.simulated import Crowd, World


def test_tokens_that_were_not_used_come_back() -> None:
    """A call is let in for its worst case and settled for what it took; the bucket never overflows."""
    pacer = Pacer(Fixed(10), Rates(tokens=600))
    pacer.start(0.0, 60)
    assert pacer.wait_s(0.0, 60) == 6.0
    pacer.end(0.0, 60, used=10)
    assert pacer.wait_s(0.0, 50) == 0.0
    pacer.start(0.0, 50)
    pacer.end(0.0, 50, used=None)
    assert pacer.wait_s(0.0, 60) == 6.0


def test_input_and_output_have_buckets_of_their_own() -> None:
    """A provider that counts them apart is asked for each apart, and what was not written comes back."""
    pacer = Pacer(Fixed(10), Rates(input_tokens=600, output_tokens=60))
    pacer.start(0.0, 56, output=6)
    assert pacer.wait_s(0.0, 10, output=0) == 0.0
    assert pacer.wait_s(0.0, 16, output=6) == 6.0
    pacer.end(0.0, 56, used=52, output=6, output_used=2)
    assert pacer.wait_s(0.0, 14, output=4) == 0.0
    assert pacer.wait_s(0.0, 16, output=6) == 2.0


def test_requests_a_minute_are_spread() -> None:
    """Ten at once where a hundred a minute are allowed, then one every 0.6 s."""
    pacer, now, starts = Pacer(Fixed(1000), Rates(requests=100)), 0.0, []
    for _ in range(15):
        now += pacer.wait_s(now, 0) or 0.0
        pacer.start(now, 0)
        starts.append(round(now, 6))
    assert starts == [0.0] * 10 + [0.6, 1.2, 1.8, 2.4, 3.0]


def test_the_limit_and_the_pause() -> None:
    """At the limit nothing starts before a call ends; a pause is never shortened by a shorter one."""
    pacer = Pacer(Fixed(1))
    pacer.start(0.0, 1)
    assert pacer.wait_s(0.0, 1) is None
    pacer.end(1.0, 1, used=1)
    pacer.pause(10.0)
    pacer.pause(5.0)
    assert (pacer.wait_s(1.0, 1), pacer.paused_until(1.0)) == (9.0, 10.0)
    assert (pacer.wait_s(10.0, 1), pacer.paused_until(10.0)) == (0.0, None)


def peak_rate(starts: list[float], window_s: float) -> float:
    """The most starts in any window of this length, for each second."""
    peak, first = 0, 0
    for last, at in enumerate(starts):
        while at - starts[first] >= window_s:
            first += 1
        peak = max(peak, last - first + 1)
    return peak / window_s


@pytest.mark.fault("F-16", "F-19")
@pytest.mark.parametrize(("sigma", "window_s"), [(0.0, 1.0), (0.8, 4.0)])
@pytest.mark.parametrize("rates", [None, Rates(requests=3000)], ids=["by the limit", "by a rate"])
def test_a_crowd_that_waited_out_a_pause_does_not_come_all_at_once(
    sigma: float, window_s: float, rates: Rates | None
) -> None:
    """F-19: of 500 waiters nobody starts in the pause, and then at most 1.2 x 50 a second do."""
    world, pacer = World(), Pacer(Fixed(50), rates)
    crowd = Crowd(world, pacer, RateLimitedApi(constant(1000.0), latency=lognormal(1.0, sigma)))
    crowd.begin()
    world.run_until(30.0)
    pacer.pause(40.0)
    world.run_until(70.0)
    after = [at for at in crowd.sends if at > 30.0]
    assert 40.0 <= after[0] < 40.1
    assert peak_rate(after, window_s) <= 1.2 * 50
    assert crowd.rate(45.0, 70.0) >= 0.97 * 50
    print(f"peak after a pause: {peak_rate(after, window_s) / 50:.2f} x the limit")  # noqa: T201  # figures, with -s


def test_a_gate_that_nobody_crowds_opens_at_once() -> None:
    """Whoever comes alone, long after a pause, is not spread out any more."""
    pacer = Pacer(Fixed(10))
    pacer.pause(5.0)
    pacer.start(100.0, 1)
    assert pacer.wait_s(100.0, 1) == 0.0


class Adversary(Cap):
    """A limit that does anything within its bounds."""

    def __init__(self) -> None:
        super().__init__(1, ceiling=100)

    def set(self, now: float, wanted: float) -> None:
        self._move(now, wanted, "as told")


@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "end", "pause", "limit"]), st.floats(0, 20), st.floats(-50, 200)),
        max_size=80,
    ),
    st.sampled_from([None, Rates(requests=60), Rates(tokens=6000, output_tokens=60)]),
)
def test_there_is_always_a_way_on(steps: list[tuple[str, float, float]], rates: Rates | None) -> None:
    """Whatever happens: room for one, and either a call is out or there is a time when one may start."""
    controller, now = Adversary(), 0.0
    pacer = Pacer(controller, rates)
    for what, pause, value in steps:
        now += pause
        wait = pacer.wait_s(now, 20, 10)
        if what == "start" and wait == 0.0:
            pacer.start(now, 20, 10)
        elif what == "end" and pacer.in_flight:
            pacer.end(now, 20, 15, 10, 5)
        elif what == "pause":
            pacer.pause(now + value)
        elif what == "limit":
            controller.set(now, value)
        assert pacer.limit >= 1
        wait = pacer.wait_s(now, 20, 10)
        assert pacer.in_flight if wait is None else pacer.wait_s(now + wait + 1e-3, 20, 10) in {0.0, None}
        assert len(controller.changes()) <= 64


@pytest.mark.parametrize(("floor", "ceiling"), [(0, 5), (6, 5), (-1, -1)])
def test_a_limit_below_one_is_refused(floor: int, ceiling: int) -> None:
    """No controller can be made that might let nobody through."""
    with pytest.raises(ValueError, match="at least 1"):
        Cap(3, ceiling=ceiling, floor=floor)


def test_a_fixed_limit_takes_no_notice() -> None:
    """It says why it is what it is, and stays."""
    controller: Controller = Fixed(7)
    controller.on_limited(1.0, 0.5)
    controller.on_overload(1.0, 0.5)
    assert (controller.limit, controller.reason(), controller.changes()) == (7, "as configured", ())
