"""Token buckets: what a minute allows, however it is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.limits import BURST_S, TokenBucket


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


@given(st.floats(1, 10_000), st.floats(0, 100), st.floats(0, 50))
def test_a_burst_does_not_gather_during_a_pause(per_minute: float, until: float, later: float) -> None:
    """After a pause the bucket holds only what has flowed in since its end."""
    bucket = TokenBucket(per_minute)
    bucket.empty_until(until)
    amount = min(max(1.0, per_minute / 60 * BURST_S), 1.0)
    assert bucket.wait_s(until + later, amount) >= amount / (per_minute / 60) - later - 1e-6
