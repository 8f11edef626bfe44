"""Seeds in flight: enough for every endpoint, within memory, and at rest once it is enough."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.sizing import Bounds, Load, seeds_in_flight
from tests.traffic.simulated import World

LOADS = st.lists(
    st.builds(Load, limit=st.integers(1, 512), in_flight=st.floats(0, 512), waiting=st.floats(0, 2000)),
    min_size=1,
    max_size=5,
)


@given(LOADS, st.integers(1, 10_000), st.floats(0, 1e7), st.integers(1, 50), st.integers(50, 5000))
def test_the_bounds_and_the_memory_hold(
    loads: list[Load], now: int, bytes_per_seed: float, at_least: int, at_most: int
) -> None:
    """Whatever was measured."""
    bounds = Bounds(at_least=at_least, at_most=at_most, max_bytes=1 << 30)
    size = seeds_in_flight(now, loads, bounds, bytes_per_seed)
    assert at_least <= size <= at_most
    assert size == at_least or size * bytes_per_seed <= 1 << 30


@given(LOADS, st.integers(1, 5000), st.floats(0, 500))
def test_more_waiting_never_asks_for_more_seeds(loads: list[Load], now: int, more: float) -> None:
    """Monotone: too much at an endpoint is not mended by more seeds, and a larger limit never asks for less."""
    bounds = Bounds(at_most=10**6)
    first, *rest = loads
    present = Load(limit=first.limit, in_flight=max(1.0, first.in_flight), waiting=first.waiting)
    fuller = Load(limit=present.limit, in_flight=present.in_flight, waiting=present.waiting + more)
    wider = Load(limit=present.limit + more, in_flight=present.in_flight, waiting=present.waiting)
    size = seeds_in_flight(now, [present, *rest], bounds)
    assert seeds_in_flight(now, [fuller, *rest], bounds) <= size
    assert seeds_in_flight(now, [wider, *rest], bounds) >= size


class Pipeline:
    """Each seed asks each endpoint for some calls at once; the endpoints have slots; a new seed follows each."""

    def __init__(self, slots: Sequence[int], service_s: Sequence[float], calls: Sequence[int]) -> None:
        self.world, self.rng = World(), Random(9)
        self.slots, self.service_s, self.calls = slots, service_s, calls
        self.busy, self.waiting = [0] * len(slots), [list[list[int]]() for _ in slots]
        self.seeds, self.finished, self.size = 0, 0, 4

    def fill(self) -> None:
        while self.seeds < self.size:
            self.seeds += 1
            left = [sum(self.calls)]
            for endpoint, calls in enumerate(self.calls):
                for _ in range(calls):
                    self.waiting[endpoint].append(left)
                    self.serve(endpoint)

    def serve(self, endpoint: int) -> None:
        while self.waiting[endpoint] and self.busy[endpoint] < self.slots[endpoint]:
            left = self.waiting[endpoint].pop(0)
            self.busy[endpoint] += 1
            took = self.service_s[endpoint] * self.rng.lognormvariate(-0.5, 1.0)
            self.world.at(self.world.now + took, partial(self.end, endpoint, left))

    def end(self, endpoint: int, left: list[int]) -> None:
        self.busy[endpoint] -= 1
        left[0] -= 1
        if not left[0]:
            self.seeds -= 1
            self.finished += 1
        self.fill()
        self.serve(endpoint)

    def run(self, periods: int, bounds: Bounds) -> tuple[list[int], list[float]]:
        """Size it every ten seconds; the sizes, and how busy each endpoint was in the second half."""
        sizes, busy = [], [0.0] * len(self.slots)
        for period in range(periods):
            sums = [[0.0, 0.0] for _ in self.slots]
            for _ in range(20):
                self.fill()
                self.world.run_until(self.world.now + 0.5)
                for endpoint in range(len(self.slots)):
                    sums[endpoint][0] += self.busy[endpoint] / 20
                    sums[endpoint][1] += len(self.waiting[endpoint]) / 20
                    if period >= periods // 2:
                        busy[endpoint] += self.busy[endpoint] / self.slots[endpoint] / (20 * (periods - periods // 2))
            loads = [
                Load(limit=slots, in_flight=in_flight, waiting=waiting)
                for slots, (in_flight, waiting) in zip(self.slots, sums, strict=True)
            ]
            self.size = seeds_in_flight(self.size, loads, bounds)
            sizes.append(self.size)
        return sizes, busy


@pytest.mark.parametrize("calls", [(5,), (5, 5), (5, 1)])
def test_it_comes_to_rest_where_every_endpoint_is_full(calls: tuple[int, ...]) -> None:
    """From four seeds, with endpoints matched to their calls: all busy, and the number stays."""
    slots = [16 * number for number in calls]
    sizes, busy = Pipeline(slots, [2.0] * len(calls), calls).run(60, Bounds(at_most=1000))
    late = sizes[30:]
    moves = [after - before for before, after in pairwise(late) if after != before]
    print(f"\ncalls {calls}: {late} seeds, busy {busy}")  # noqa: T201  # figures, with -s
    assert min(busy) >= 0.93
    assert max(late) <= 2 * min(late)
    assert len(moves) <= 6
    assert max(sizes) < 500


def test_a_slow_endpoint_makes_it_reach_for_its_bound_and_stay_there() -> None:
    """One of two is ten times slower: the other is kept as busy as so many seeds can keep it, without swinging."""
    sizes, busy = Pipeline([16, 16], [10.0, 1.0], (1, 1)).run(40, Bounds(at_most=300))
    assert sizes[-20:] == [300] * 20
    assert busy[0] >= 0.99


def test_an_endpoint_that_nobody_asks_asks_for_nothing() -> None:
    """No calls, no claim; and with no figures at all the number stays."""
    idle = Load(limit=64, in_flight=0, waiting=0)
    full = Load(limit=16, in_flight=16, waiting=16)
    assert seeds_in_flight(100, [idle, full], Bounds(at_most=1000)) == 100
    assert seeds_in_flight(100, [], Bounds(at_most=1000)) == 100
