"""Breakers, on a clock that is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.breaker import FIRST_OPEN_S, MAX_OPEN_S, OPEN_AFTER, Breaker, State


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(OPEN_AFTER):
        breaker.fail(now, is_probe=breaker.start())
    return breaker


@pytest.mark.fault("F-01", "F-27")
def test_f27_one_probe_and_doubling_times() -> None:
    """F-01, F-27: open for 1, 2, 4 ... s, at most five minutes, with one probe each time; a success closes."""
    breaker, now, waits = opened(), 0.0, []
    for _ in range(12):
        wait = breaker.wait_s(now)
        assert wait is not None
        waits.append(wait)
        now += wait
        assert breaker.wait_s(now) == 0.0
        assert breaker.start()
        assert breaker.wait_s(now) is None
        breaker.fail(now, is_probe=True)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    now += MAX_OPEN_S
    breaker.succeed(now, is_probe=breaker.start())
    assert (breaker.state, breaker.down_since, breaker.wait_s(now)) == (State.CLOSED, None, 0.0)


def test_failures_must_be_in_a_row() -> None:
    """A success in between starts the count again."""
    breaker = Breaker()
    for _ in range(10):
        for _ in range(OPEN_AFTER - 1):
            breaker.fail(0.0, is_probe=False)
        breaker.succeed(0.0, is_probe=False)
    assert breaker.state is State.CLOSED


@given(num_out=st.integers(1, 500))
def test_of_a_burst_the_failed_end_first(num_out: int) -> None:
    """A server that fails a part of the calls at once is not taken for a dead one; one that fails them all is."""
    breaker = Breaker()
    for _ in range(max(OPEN_AFTER, num_out) - 1):
        breaker.fail(0.0, is_probe=False, num_out=num_out)
    assert breaker.wait_s(0.0) == 0.0
    breaker.fail(0.0, is_probe=False, num_out=num_out)
    assert breaker.wait_s(0.0) == FIRST_OPEN_S


@pytest.mark.fault("F-27")
def test_f27_a_flapping_replica_is_left_alone_for_longer_each_time() -> None:
    """F-27: opening again soon after it closed goes on doubling; after a quiet while it begins again at 1 s."""
    breaker, now = opened(), 0.0
    for expected in (2.0, 4.0, 8.0):
        now += breaker.wait_s(now) or 0.0
        breaker.succeed(now, is_probe=breaker.start())
        for _ in range(OPEN_AFTER):
            breaker.fail(now, is_probe=False)
        assert breaker.wait_s(now) == expected
    now += 8.0
    breaker.succeed(now, is_probe=breaker.start())
    now += 100.0
    for _ in range(OPEN_AFTER):
        breaker.fail(now, is_probe=False)
    assert breaker.wait_s(now) == 1.0


def test_stragglers_say_nothing() -> None:
    """Calls sent before the breaker opened neither lengthen its time nor close it."""
    breaker = opened()
    breaker.fail(0.5, is_probe=False)
    breaker.succeed(0.6, is_probe=False)
    assert (breaker.state, breaker.wait_s(0.6)) == (State.OPEN, 0.4)


def test_a_cancelled_probe_leaves_the_place_to_the_next() -> None:
    """It proved nothing: another call may be the probe at once."""
    breaker = opened()
    assert breaker.start()
    breaker.abandon_probe()
    assert breaker.wait_s(1.0) == 0.0


@pytest.mark.fault("F-21")
def test_a_fatal_failure_opens_at_once_and_long() -> None:
    """A rejected key is not asked about every second."""
    breaker = Breaker()
    breaker.fail(0.0, is_probe=False, is_fatal=True)
    assert (breaker.is_fatal, breaker.wait_s(0.0)) == (True, MAX_OPEN_S)


@given(st.lists(st.tuples(st.sampled_from(["start", "ok", "fail", "fatal", "cancel"]), st.floats(0, 400)), max_size=60))
def test_a_breaker_never_locks_up(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order: one probe at most, and once no call is out, a time when one may go."""
    breaker, now, out = Breaker(), 0.0, []
    for what, pause in steps:
        now += pause
        if what == "start":
            if breaker.wait_s(now) == 0.0:
                out.append(breaker.start())
        elif out:
            is_probe = out.pop(0)
            if what == "ok":
                breaker.succeed(now, is_probe=is_probe)
            elif what == "cancel" and is_probe:
                breaker.abandon_probe()
            elif what in {"fail", "fatal"}:
                breaker.fail(now, is_probe=is_probe, is_fatal=what == "fatal")
        assert sum(out) <= 1
        assert (breaker.down_since is None) == (breaker.state is State.CLOSED)
    if not any(out):
        assert breaker.wait_s(now) is not None
        assert breaker.wait_s(now + MAX_OPEN_S) == 0.0


@pytest.mark.fault("F-27")
@pytest.mark.parametrize("until_s", [600.0, 3600.0])
def test_a_replica_that_is_up_and_down_every_three_seconds(until_s: float) -> None:
    """F-27: a call every 50 ms wants to go out; few meet the outages, and five minutes after it mends it is in use."""
    breaker, now, failed, succeeded = Breaker(), 0.0, 0, 0
    while now < until_s:
        if breaker.wait_s(now) == 0.0:
            is_probe, is_up = breaker.start(), now % 6.0 < 3.0
            if is_up:
                breaker.succeed(now, is_probe=is_probe)
                succeeded += 1
            else:
                breaker.fail(now, is_probe=is_probe)
                failed += 1
        now += 0.05
    assert failed <= 0.005 * until_s / 0.05
    assert succeeded >= 0.002 * until_s / 0.05
    print(f"\n{until_s:.0f} s of flapping: {succeeded} answered, {failed} failed")  # noqa: T201  # figures, with -s
    wait = breaker.wait_s(now)
    assert wait is not None
    assert wait <= MAX_OPEN_S
    breaker.succeed(now + wait, is_probe=breaker.start())
    assert breaker.wait_s(now + wait) == 0.0


def test_a_breaker_that_is_held_opens_for_nobody_before_its_release() -> None:
    """Not when its time is up, not for the probe that was out; and afterwards nothing is held against it."""
    breaker = opened()
    is_probe = breaker.start()
    breaker.hold(1.0)
    breaker.succeed(2.0, is_probe=is_probe)
    assert breaker.wait_s(1000.0) is None
    breaker.release()
    assert (breaker.state, breaker.wait_s(1000.0), breaker.down_since) == (State.CLOSED, 0.0, None)
    for _ in range(OPEN_AFTER):
        breaker.fail(1000.0, is_probe=False)
    assert breaker.wait_s(1000.0) == FIRST_OPEN_S


@pytest.mark.fault("F-27")
def test_openings_by_chance_do_not_grow() -> None:
    """A replica that works for ten seconds between its openings is asked again after the shortest time, for ever."""
    breaker, now = Breaker(), 0.0
    for _ in range(50):
        for _ in range(OPEN_AFTER):
            breaker.fail(now, is_probe=False)
        assert breaker.wait_s(now) == FIRST_OPEN_S
        now += FIRST_OPEN_S
        assert breaker.start()
        breaker.succeed(now, is_probe=True)
        now += 10.0
