"""Token buckets and the pacer: what a minute allows, however it is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.limits import BURST_S, TokenBucket
from star_agents.traffic.pacing import Pacer


@given(
    st.floats(1, 10_000),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 200)), min_size=1, max_size=60),
)
def test_no_span_holds_more_than_its_share(per_minute: float, asks: list[tuple[float, float]]) -> None:
    """Over any span, what is taken stays within the burst and the flow, one outsized taking set aside."""
    bucket, now, takings = TokenBucket(per_minute), 0.0, []
    for pause, amount in asks:
        now += pause
        now += bucket.wait_s(now, amount)
        bucket.take(now, amount)
        takings.append((now, amount))
    rate, burst = per_minute / 60, max(1.0, per_minute / 60 * BURST_S)
    for first, (begin, _) in enumerate(takings):
        for last in range(first, len(takings)):
            end = takings[last][0]
            taken = sum(amount for _, amount in takings[first : last + 1])
            outsized = max(0.0, max(amount for _, amount in takings[first : last + 1]) - burst)
            assert taken - outsized * (last - first + 1) <= burst + rate * (end - begin) + 1e-6 * (1 + taken)


@given(st.floats(1, 10_000), st.floats(0.01, 500))
def test_waiting_is_enough(per_minute: float, amount: float) -> None:
    """After the wait it named, a bucket asks for no more than the rounding of a clock."""
    bucket = TokenBucket(per_minute)
    bucket.take(0.0, 100.0)
    wait = bucket.wait_s(0.0, amount)
    assert bucket.wait_s(wait, amount) < 1e-6


def test_tokens_that_were_not_used_come_back() -> None:
    """A call is let in for its worst case and settled for what it took; the bucket never overflows."""
    pacer = Pacer(10, tokens_per_minute=600)
    pacer.start(0.0, 60)
    assert pacer.wait_s(0.0, 60) == 6.0
    pacer.end(0.0, 60, used=10)
    assert pacer.wait_s(0.0, 50) == 0.0
    pacer.start(0.0, 50)
    pacer.end(0.0, 50, used=None)
    assert pacer.wait_s(0.0, 60) == 6.0


def test_requests_a_minute_are_spread() -> None:
    """Ten at once where a hundred a minute are allowed, then one every 0.6 s."""
    pacer, now, starts = Pacer(1000, requests_per_minute=100), 0.0, []
    for _ in range(15):
        now += pacer.wait_s(now, 0) or 0.0
        pacer.start(now, 0)
        starts.append(round(now, 6))
    assert starts == [0.0] * 10 + [0.6, 1.2, 1.8, 2.4, 3.0]


def test_the_limit_and_the_pause() -> None:
    """At the limit nothing starts before a call ends; a pause is never shortened by a shorter one."""
    pacer = Pacer(1)
    pacer.start(0.0, 1)
    assert pacer.wait_s(0.0, 1) is None
    pacer.end(1.0, 1, used=1)
    pacer.pause(10.0)
    pacer.pause(5.0)
    assert (pacer.wait_s(1.0, 1), pacer.paused_until(1.0)) == (9.0, 10.0)
    assert (pacer.wait_s(10.0, 1), pacer.paused_until(10.0)) == (0.0, None)
