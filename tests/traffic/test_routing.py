"""The choice of a replica, on a clock that is a number."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.affinity import preferred
from star_agents.traffic.breaker import OPEN_AFTER
from star_agents.traffic.routing import SLOW_START_S, Route, Router

WRITTEN_DOWN = [1, 0, 0, 0, 4, 3, 3, 3, 4, 3, 0, 2]


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


def test_a_long_call_weighs_more_than_a_short_one() -> None:
    """Least outstanding tokens, not calls: beside one call of a thousand tokens ten of a hundred find room."""
    router = Router(2)
    long = router.start(0.0, 1000).replica
    assert [router.start(0.0, 100).replica for _ in range(9)] == [1 - long] * 9
    assert router.outstanding == [1000, 900] if long == 0 else [900, 1000]


def test_what_begins_alike_goes_to_the_same_replica_while_it_has_room() -> None:
    """The judge of a seed finds its prefix cached; a crowd on one seed spills over to the others."""
    router = Router(4)
    calls = [router.start(0.0, 100, affinity=7).replica for _ in range(40)]
    warm = calls[0]
    assert calls[:4] == [warm] * 4
    assert set(calls) == {0, 1, 2, 3}
    assert max(router.outstanding) <= 1.5 * min(router.outstanding) + 5 * 100


@pytest.mark.parametrize("replicas", [2, 4, 8])
def test_affinity_costs_little_balance(replicas: int) -> None:
    """Of calls that end at random, most go where their prefix is, and no replica has much more than its share."""
    router, rng, out, warm = Router(replicas), Random(3), [], 0
    peak = 0.0
    for number in range(4000):
        key, tokens = number // 6, rng.choice([100, 200, 800])
        route = router.start(0.0, tokens, affinity=key)
        warm += route.replica == preferred(key, range(replicas))
        out.append(route)
        if len(out) > 32 * replicas:
            router.end(out.pop(rng.randrange(len(out))))
            peak = max(peak, max(router.outstanding) / (sum(router.outstanding) / replicas))
    print(f"\n{replicas} replicas: {warm / 4000:.2f} warm, at most {peak:.2f} x the mean")  # noqa: T201  # figures, with -s
    assert warm >= 0.7 * 4000
    assert peak <= 1.8


@given(st.integers(), st.sets(st.integers(0, 20), min_size=2, max_size=8))
def test_only_the_keys_of_a_lost_replica_move(key: int, replicas: set[int]) -> None:
    """Rendezvous hashing: without another replica the choice is the same."""
    chosen = preferred(key, sorted(replicas))
    for lost in replicas - {chosen}:
        assert preferred(key, sorted(replicas - {lost})) == chosen


def test_the_keys_are_spread_evenly_and_the_same_in_every_process() -> None:
    """Written down once: another process, another version, must find the same warm caches."""
    assert [preferred(key, range(5)) for key in range(12)] == WRITTEN_DOWN
    counts = Counter(preferred(key, range(5)) for key in range(10_000))
    assert min(counts.values()) >= 0.9 * 2000


def test_a_replica_that_came_back_is_not_flooded() -> None:
    """With an empty queue it would get every call; for its first seconds it counts as a tenth of its size."""
    router, out = Router(2), []
    for _ in range(OPEN_AFTER):
        router.breakers[0].fail(0.0, is_probe=False)
    out = [router.start(0.5, 100) for _ in range(50)]
    probe = router.start(1.0, 100)
    router.breakers[0].succeed(1.5, is_probe=probe.is_probe)
    router.end(probe)
    at_first = [router.start(1.6, 100).replica for _ in range(20)]
    assert 1 <= at_first.count(0) <= 8
    later = [router.start(1.5 + SLOW_START_S, 100).replica for _ in range(40)]
    assert later.count(0) == 40
    assert len(out) == 50


@pytest.mark.fault("F-48")
def test_a_hung_replica_is_left_alone_while_others_work() -> None:
    """No call of it ends for a while, and calls of others do: nothing new goes there until one of its calls ends."""
    router = Router(3, hung_after_s=60.0)
    routes = [router.start(0.0) for _ in range(9)]
    for now in range(1, 100):
        for replica in (0, 1):
            router.note_progress(float(now), replica)
        if now >= 60:
            assert router.suspects(float(now)) == {2}
        else:
            assert not router.suspects(float(now))
    assert 2 not in {router.start(100.0, affinity=key).replica for key in range(30)}
    router.note_progress(101.0, 2)
    assert not router.suspects(101.0)
    for route in routes:
        router.end(route)


@pytest.mark.fault("F-48")
def test_when_all_are_silent_nobody_is_suspected() -> None:
    """A slow hour of the whole model is not a hung replica; nor is a replica that has nothing to do."""
    router = Router(2, hung_after_s=60.0)
    router.start(0.0)
    router.start(0.0)
    assert not router.suspects(1000.0)
    idle = Router(2, hung_after_s=60.0)
    route = idle.start(0.0)
    idle.note_progress(1000.0, route.replica)
    assert not idle.suspects(1000.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1000), st.none() | st.integers(0, 3)), max_size=60))
def test_every_token_counted_out_is_counted_in(steps: list[tuple[bool, int, int | None]]) -> None:
    """Whatever the order, nothing is outstanding once all calls have ended."""
    router = Router(3)
    out: list[Route] = []
    for is_start, tokens, affinity in steps:
        if is_start:
            out.append(router.start(0.0, tokens, affinity=affinity))
        elif out:
            router.end(out.pop(0))
        assert sum(router.outstanding) == sum(route.tokens for route in out)
    for route in out:
        router.end(route)
    assert (router.in_flight, router.outstanding) == ([0, 0, 0], [0, 0, 0])
