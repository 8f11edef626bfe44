"""Breakers and the choice of a replica, on a clock that is a number."""

from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.refusals import MIN_LOOKED_AT, RefusalWatch
from star_agents.traffic.routing import MAX_OPEN_S, OPEN_AFTER, Breaker, Router, State


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(OPEN_AFTER):
        breaker.fail(now, is_probe=breaker.start())
    return breaker


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


def test_a_fatal_failure_opens_at_once_and_long() -> None:
    """A rejected key is not asked about every second."""
    breaker = Breaker()
    breaker.fail(0.0, is_probe=False, is_fatal=True)
    assert (breaker.is_fatal, breaker.wait_s(0.0)) == (True, MAX_OPEN_S)


def test_calls_go_where_the_fewest_are_out() -> None:
    """Least outstanding first, in turn where they are equal, and away from the one that has just failed."""
    router = Router(3)
    routes = [router.start(0.0) for _ in range(6)]
    assert sorted(route.replica for route in routes) == [0, 0, 1, 1, 2, 2]
    router.end(routes[1])
    assert router.start(0.0).replica == routes[1].replica
    router.end(routes[0])
    assert router.start(0.0, avoid=routes[0].replica).replica != routes[0].replica


def test_a_dead_replica_is_routed_around_and_found_again() -> None:
    """While one of two is open all calls go to the other; its probe goes out first when it is due."""
    router = Router(2)
    for _ in range(OPEN_AFTER):
        router.breakers[0].fail(0.0, is_probe=False)
    assert [router.start(0.5).replica for _ in range(3)] == [1, 1, 1]
    assert not router.is_down()
    assert router.has_working(besides=0)
    probe = router.start(1.0)
    assert (probe.replica, probe.is_probe) == (0, True)
    assert not router.start(1.0).is_probe


def test_down_and_for_how_long() -> None:
    """An endpoint is down while every replica is, since the last of them went."""
    router = Router(2)
    router.breakers[0].fail(3.0, is_probe=False, is_fatal=True)
    assert (router.is_down(), router.down_for_s(10.0), router.is_fatal()) == (False, 0.0, False)
    router.breakers[1].fail(5.0, is_probe=False, is_fatal=True)
    assert (router.is_down(), router.down_for_s(10.0), router.is_fatal()) == (True, 5.0, True)
    assert router.wait_s(5.0) == 298.0


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


def test_f24_one_poison_request_is_not_a_broken_template() -> None:
    """F-24: 1 in 1000 refused says nothing; all of the first twenty do, and so do more than a fifth later on."""
    watch = RefusalWatch()
    assert not any(watch.note(is_refused=number == 500) for number in range(1000))
    watch = RefusalWatch()
    told = [watch.note(is_refused=True) for _ in range(MIN_LOOKED_AT)]
    assert told == [False] * (MIN_LOOKED_AT - 1) + [True]
    watch = RefusalWatch()
    told = [watch.note(is_refused=number % 4 == 0) for number in range(100)]
    assert any(told)
