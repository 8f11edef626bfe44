"""Additive increase, multiplicative decrease: the rules one by one, then against servers whose optimum is known."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.aimd import Aimd
from star_agents.traffic.pacing import Pacer, Rates
from tests.traffic.servers import (
    ConcurrencyLimitedApi,
    RateLimitedApi,
    constant,
    honest,
    in_whole_seconds,
    lognormal,
    silent,
    steps,
)
from tests.traffic.simulated import Crowd, Server, World


def rounds(controller: Aimd, count: int, *, since: float = 0.0, is_full: bool = True) -> float:
    """So many turnovers of one second each, every call answered; the time after them."""
    now = since
    for _ in range(count):
        limit = controller.limit
        in_flight = limit if is_full else max(1, limit // 2)
        for _ in range(limit):
            controller.on_start(now + 0.01, in_flight)
        for _ in range(limit):
            controller.on_success(now + 1.0, now + 0.01, in_flight, 100)
        now += 1.0
    return now


def crowd_of(server: Server, until: float, **offered: float) -> tuple[Crowd, Aimd]:
    world, controller = World(), Aimd(ceiling=2000)
    crowd = Crowd(world, Pacer(controller), server, offered_per_s=offered.get("per_s"))
    crowd.begin()
    world.run_until(until)
    return crowd, controller


def test_slow_start_doubles_until_the_first_rate_limit() -> None:
    """4, 8, 16, 32; a 429 then takes it back to where it was well, and growth goes on below that level."""
    controller = Aimd(ceiling=1000)
    seen = [controller.limit]
    now = 0.0
    for _ in range(4):
        now = rounds(controller, 1, since=now)
        seen.append(controller.limit)
    assert seen == [4, 8, 16, 32, 64]
    assert controller.reason().startswith("slow start")
    controller.on_limited(now, now - 0.1)
    assert 0.4 * 64 <= controller.limit < 64
    assert controller.reason() == "cut by a rate limit"


def test_a_limit_that_is_not_used_up_does_not_grow() -> None:
    """Answers while half of it is in flight say nothing of what more would do."""
    controller = Aimd(ceiling=1000)
    rounds(controller, 20, is_full=False)
    assert controller.limit == 4


@pytest.mark.fault("F-16", "F-18")
def test_a_burst_cuts_once() -> None:
    """A hundred 429s to calls that were sent before the cut are one reason to cut."""
    controller = Aimd(ceiling=1000, start=100)
    now = rounds(controller, 1)
    before = controller.limit
    for number in range(100):
        controller.on_limited(now + 0.001 * number, now - 0.5)
    assert controller.limit >= 0.4 * before
    assert [change.reason for change in controller.changes()].count("cut by a rate limit") == 1


def test_answers_to_calls_sent_before_a_cut_do_not_count() -> None:
    """They were let in by the old limit: the new one has shown nothing yet."""
    controller = Aimd(ceiling=1000, start=100)
    controller.on_limited(10.0, 9.0)
    cut_to = controller.limit
    for _ in range(1000):
        controller.on_start(10.5, cut_to)
        controller.on_success(11.0, 9.5, cut_to, 100)
    assert controller.limit == cut_to


@pytest.mark.fault("F-16")
def test_a_retry_after_longer_than_the_gap_between_retries_freezes_nothing() -> None:
    """F-16: pauses of ten turnovers after each cut, again and again, and the limit still grows in between."""
    crowd, _ = crowd_of(RateLimitedApi(constant(10.0), burst_s=10.0, retry_after=lambda _: 10.0), 1200.0)
    assert crowd.rate(200.0, 1200.0) >= 0.85 * 10.0


def test_single_errors_say_nothing_of_capacity_and_many_do() -> None:
    """One call in five fails: the limit grows on. Nearly all fail: it is cut, once for all that were out."""
    world, controller = World(), Aimd(ceiling=200)
    broken = RateLimitedApi(constant(1e9), fails=lambda now, rng: rng.random() < (0.2 if now < 60.0 else 0.95))
    crowd = Crowd(world, Pacer(controller), broken)
    crowd.begin()
    world.run_until(59.0)
    assert controller.limit == 200
    world.run_until(61.0)
    assert controller.limit < 200
    world.run_until(120.0)
    assert controller.limit >= 1
    assert "overloaded" in controller.reason() or "growing" in controller.reason()


@pytest.mark.fault("F-16", "F-18")
@pytest.mark.parametrize(
    ("per_s", "burst_s", "sigma", "retry_after"),
    [
        (10.0, 1.0, 0.0, honest),
        (10.0, 10.0, 1.0, honest),
        (10.0, 10.0, 1.0, silent),
        (100.0, 1.0, 0.0, in_whole_seconds),
        (100.0, 1.0, 1.0, honest),
        (100.0, 10.0, 1.0, in_whole_seconds),
        (100.0, 10.0, 0.5, silent),
        (100.0, 60.0, 1.0, in_whole_seconds),
    ],
)
def test_a_rate_limited_api_is_used_to_the_full(
    per_s: float, burst_s: float, sigma: float, retry_after: Callable[[float], float | None]
) -> None:
    """At least 97 % of what a token bucket lets through, whatever its burst and whatever it says of when to return."""
    server = RateLimitedApi(constant(per_s), burst_s, lognormal(1.0, sigma), retry_after=retry_after)
    crowd, _ = crowd_of(server, 600.0)
    share = crowd.rate(200.0, 600.0) / per_s
    refused = len(crowd.refused) / len(crowd.sends)
    print(f"\n{per_s}/s, burst {burst_s} s, sigma {sigma}, {retry_after.__name__}: {share:.3f}, refused {refused:.3f}")  # noqa: T201  # figures, with -s
    assert share >= 0.97


@pytest.mark.parametrize("slots", [3, 10, 100])
def test_an_api_that_limits_calls_at_once_is_used_to_the_full(slots: int) -> None:
    """At least 97 % of its slots, and few refusals."""
    crowd, _ = crowd_of(ConcurrencyLimitedApi(constant(slots), lognormal(5.0, 0.5)), 3000.0)
    share = crowd.rate(1000.0, 3000.0) * 5.0 / slots
    print(f"\n{slots} slots: {share:.3f}")  # noqa: T201  # figures, with -s
    assert share >= 0.97


def test_calls_in_step_are_not_cut_to_nothing_by_their_own_pauses() -> None:
    """All calls take equally long, refusals come at once, and the pause ends just before the answers make room."""
    server = ConcurrencyLimitedApi(
        constant(100.0), latency=lognormal(0.5, 0.0), refusal_s=0.002, retry_after=lambda _missing_s: 0.2
    )
    world, controller = World(), Aimd(ceiling=125)
    crowd = Crowd(world, Pacer(controller), server)
    crowd.begin()
    world.run_until(120.0)
    assert crowd.rate(30.0, 120.0) >= 0.9 * 200


def test_tokens_a_minute_of_the_server_are_found_as_well() -> None:
    """A server that counts tokens is a rate limit like another."""
    server = RateLimitedApi(constant(10_000.0), 10.0, lognormal(2.0, 0.5), counts_tokens=True)
    crowd, _ = crowd_of(server, 600.0)
    assert crowd.tokens_rate(200.0, 600.0) >= 0.97 * 10_000.0


def test_limits_that_are_known_cost_no_refusal() -> None:
    """With the account's requests and tokens a minute in the config nothing is refused after the first minute."""
    world = World()
    pacer = Pacer(Aimd(ceiling=200), Rates(requests=590, tokens=90_000))
    crowd = Crowd(world, pacer, RateLimitedApi(constant(10.0), 6.0), input_tokens=10, output_tokens=lambda _: 90)
    crowd.begin()
    world.run_until(600.0)
    assert crowd.rate(60.0, 600.0) >= 0.97 * 590 / 60
    assert not [at for at in crowd.refused if at > 60.0]


@pytest.mark.parametrize(("start", "low"), [(4, 10), (500, 10), (4, 100), (500, 100)])
def test_it_comes_to_the_optimum_from_below_and_from_above(start: int, low: int) -> None:
    """Within thirty turnovers, from far too little and from far too much."""
    world = World()
    crowd = Crowd(world, Pacer(Aimd(ceiling=2000, start=start)), RateLimitedApi(constant(low), 1.0))
    crowd.begin()
    world.run_until(120.0)
    assert crowd.rate(30.0, 120.0) >= 0.97 * low
    assert crowd.sent_rate(30.0, 120.0) <= 1.2 * low


@pytest.mark.fault("F-16")
@pytest.mark.parametrize("latency_s", [1.0, 10.0])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_it_sheds_and_recovers_when_capacity_falls_to_a_tenth_and_comes_back(latency_s: float, sigma: float) -> None:
    """P9: 100 -> 10 -> 100 calls a latency; sends within 1.2 x after two latencies, 90 % of 100 within ten."""
    down, up = 60.0 * latency_s, 120.0 * latency_s
    capacity = steps((0.0, 100 / latency_s), (down, 10 / latency_s), (up, 100 / latency_s))
    server = RateLimitedApi(capacity, latency_s, lognormal(latency_s, sigma), refusal_s=0.05 * latency_s)
    crowd, _ = crowd_of(server, up + 40.0 * latency_s)

    def sent(since: float, latencies: float) -> int:
        until = since + latencies * latency_s
        return bisect_right(crowd.sends, until) - bisect_left(crowd.sends, since)

    shed = sent(down + 2.1 * latency_s, 5.0) / 50  # after two latencies and what the server asked to wait
    wasted = sum(down < at <= down + 10 * latency_s for at in crowd.refused)
    recovered = next(k / 10 for k in range(400) if sent(up + k / 10 * latency_s, 1.0) >= 90)
    low = crowd.rate(down + 10 * latency_s, up) * latency_s / 10
    print(f"\nsends {shed:.2f} x after 2 latencies, {wasted} wasted, {low:.3f} used, 90 % after {recovered} latencies")  # noqa: T201  # figures, with -s
    assert shed <= 1.2
    assert wasted <= 100
    assert recovered <= 10.0
    assert low >= 0.95


def test_it_follows_a_capacity_that_flaps() -> None:
    """Between 100 and 20 a second every fifteen seconds: most of what there is, and few refusals."""
    world = World()

    def square(now: float) -> float:
        return 100.0 if now % 30.0 < 15.0 else 20.0

    crowd = Crowd(world, Pacer(Aimd(ceiling=2000)), RateLimitedApi(square, 1.0))
    crowd.begin()
    world.run_until(600.0)
    share, refused = crowd.rate(60.0, 600.0) / 60.0, len(crowd.refused) / len(crowd.sends)
    print(f"\nflapping: {share:.3f} of it used, {refused:.3f} refused")  # noqa: T201  # figures, with -s
    assert share >= 0.65
    assert refused <= 0.1


def test_clients_that_offer_too_little_are_served_and_the_limit_stays_modest() -> None:
    """Five calls a second on an API for a hundred: none is refused, none waits, and nothing was learnt beyond that."""
    crowd, controller = crowd_of(RateLimitedApi(constant(100.0), 1.0, lognormal(1.0, 0.5)), 600.0, per_s=5.0)
    assert not crowd.refused
    assert crowd.rate(10.0, 600.0) >= 0.9 * 5.0
    assert controller.limit <= 64


EVENTS = st.sampled_from(["start", "ok", "old ok", "429", "old 429", "503", "rest"])


@given(st.lists(st.tuples(EVENTS, st.floats(0, 5)), max_size=200), st.integers(1, 8), st.integers(8, 64))
def test_whatever_comes_back_the_limit_stays_within_its_bounds(
    events: list[tuple[str, float]], floor: int, ceiling: int
) -> None:
    """And its history stays short."""
    controller, now = Aimd(ceiling=ceiling, floor=floor), 0.0
    for what, pause in events:
        now += pause
        if what == "start":
            controller.on_start(now, controller.limit)
        elif what == "rest":
            rounds(controller, 3, since=now)
        elif what.endswith("ok"):
            controller.on_success(now, now - (100.0 if "old" in what else 0.1), controller.limit, 10)
        elif what.endswith("429"):
            controller.on_limited(now, now - (100.0 if "old" in what else 0.0))
        else:
            controller.on_overload(now, now)
        assert floor <= controller.limit <= ceiling
        assert controller.reason()
        assert len(controller.changes()) <= 64
