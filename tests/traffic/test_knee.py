"""The limit of a vLLM-like server from its own figures, against servers whose best limit was found by trying."""

from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.control import Controller
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.gradient import Gradient
from star_agents.traffic.knee import STALE_S, Gauges, Knee
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.sample import FEWEST
from tests.traffic.servers import BatchingServer, SlotServer, affine, constant, lognormal, roofline, steps, watch
from tests.traffic.simulated import Crowd, World

SLOTS_64 = BatchingServer(roofline(0.03, 0.0), slots=constant(64))
SHARP_100 = BatchingServer(roofline(0.02, 0.0002))
SHARP_20 = BatchingServer(roofline(0.02, 0.001))
SMOOTH = BatchingServer(affine(0.02, 0.0005))
SMALL_KV = BatchingServer(roofline(0.03, 0.0), kv_tokens=8000.0, prefill_per_s=5000.0)
SERVERS = {"64 slots": SLOTS_64, "sharp at 100": SHARP_100, "sharp at 20": SHARP_20, "smooth": SMOOTH, "kv": SMALL_KV}
TRIED = (10, 20, 32, 64, 72, 100, 128, 256)


def answer_length(rng: Random) -> int:
    return max(5, min(400, int(100 * rng.lognormvariate(-0.125, 0.5))))


def fresh(server: BatchingServer) -> BatchingServer:
    """The same server with nothing to do yet."""
    return replace(server, running=[], waiting=type(server.waiting)())


def crowd_on(server: BatchingServer, controller: Controller, until: float) -> Crowd:
    world = World()
    crowd = Crowd(world, Pacer(controller), server, input_tokens=50, output_tokens=answer_length)
    crowd.begin()
    if isinstance(controller, Knee):
        watch(server, world, controller)
    world.run_until(until)
    return crowd


@cache
def optimum(name: str) -> float:
    """Tokens/s at the best fixed limit."""
    return max(crowd_on(fresh(SERVERS[name]), Fixed(limit), 230.0).tokens_rate(30.0, 230.0) for limit in TRIED)


@pytest.mark.fault("F-51")
@pytest.mark.parametrize("start", [4, 300])
@pytest.mark.parametrize("name", SERVERS)
def test_it_comes_to_the_knee_from_below_and_from_above(name: str, start: int) -> None:
    """At least 97 % of the best tokens/s, with a short queue on the server in the end."""
    server, controller = fresh(SERVERS[name]), Knee(ceiling=512, start=start)
    crowd = crowd_on(server, controller, 200.0)
    server.peak_waiting = 0
    crowd.world.run_until(500.0)
    share = crowd.tokens_rate(200.0, 500.0) / optimum(name)
    preempted = server.preemptions / len(crowd.served)
    print(f"\n{name} from {start}: {share:.3f}, limit {controller.limit}, queue {server.peak_waiting}, {preempted:.2f}")  # noqa: T201  # figures, with -s
    assert share >= 0.97
    assert server.peak_waiting <= 0.35 * server.slots(0.0)


@pytest.mark.parametrize("start", [4, 300])
@pytest.mark.parametrize("name", ["64 slots", "sharp at 100", "sharp at 20", "smooth"])
def test_latency_alone_does_nearly_as_well(name: str, start: int) -> None:
    """Without figures of the server: at least 95 % of the best tokens/s, from both sides."""
    controller = Gradient(ceiling=512, start=start)
    crowd = crowd_on(fresh(SERVERS[name]), controller, 600.0)
    share = crowd.tokens_rate(300.0, 600.0) / optimum(name)
    print(f"\n{name} from {start} by latency: {share:.3f}, limit {controller.limit}")  # noqa: T201  # figures, with -s
    assert share >= 0.95


@pytest.mark.parametrize("by_figures", [True, False])
@pytest.mark.parametrize(("slots", "mean_s"), [(16, 0.06), (32, 0.26), (16, 2.0), (128, 2.0)])
@pytest.mark.parametrize("spare", [1, 4])
def test_latencies_that_spread_as_widely_as_they_last_are_no_reason_to_do_less(
    by_figures: bool, slots: int, mean_s: float, spare: int
) -> None:
    """Slots that take a lognormal time (sigma 1): they are kept busy, though a turnover's rate is mostly chance."""
    world, server = World(), SlotServer(slots, lognormal(mean_s, 1.0))
    ceiling = spare * slots
    controller: Knee | Gradient = Knee(ceiling=ceiling) if by_figures else Gradient(ceiling=ceiling)
    crowd = Crowd(world, Pacer(controller), server, input_tokens=50)
    crowd.begin()
    if isinstance(controller, Knee):
        watch(server, world, controller)
    warm, end = 60 * max(1.0, mean_s), 400 * max(1.0, mean_s)
    world.run_until(warm)
    server.count(warm)
    before = server.busy_s
    world.run_until(end)
    server.count(end)
    share = (server.busy_s - before) / (slots * (end - warm))
    print(f"\n{type(controller).__name__}, {slots} slots, ceiling {ceiling}: {share:.3f}, limit {controller.limit}")  # noqa: T201  # figures, with -s
    assert share >= 0.97


@pytest.mark.parametrize("by_figures", [True, False])
def test_a_server_that_shrinks_and_grows_is_followed(by_figures: bool) -> None:
    """100 slots, then 10, then 100: the queue is taken back, and 90 % is reached again."""
    slots = steps((0.0, 100.0), (200.0, 10.0), (400.0, 100.0))
    server = BatchingServer(roofline(0.03, 0.0), slots=slots)
    controller: Controller = Knee(ceiling=512) if by_figures else Gradient(ceiling=512)
    crowd = crowd_on(server, controller, 360.0)
    at_the_low, queue = controller.limit, len(server.waiting)
    crowd.world.run_until(600.0)
    full = 100 / 0.03
    recovered = next(t for t in range(400, 600) if crowd.tokens_rate(t, t + 5.0) >= 0.9 * full) - 400
    low = crowd.tokens_rate(220.0, 400.0) / (0.1 * full)
    told = f"{low:.3f} used at the low, limit {at_the_low}, queue {queue}, back in {recovered} s"
    print(f"\n{type(controller).__name__}: {told}")  # noqa: T201  # figures, with -s
    assert low >= 0.95
    assert queue <= (6 if by_figures else 60)
    assert recovered <= (40 if by_figures else 120)  # an answer takes 3 s


def test_two_clients_share_a_server() -> None:
    """Each takes back its own part of the queue: the server is full, its queue short, and neither starves."""
    world, server = World(), fresh(SLOTS_64)
    crowds = []
    for start in (8.0, 200.0):
        controller = Knee(ceiling=512, start=start)
        crowd = Crowd(
            world, Pacer(controller), server, Random(int(start)), input_tokens=50, output_tokens=answer_length
        )
        crowd.begin()
        watch(server, world, controller)
        crowds.append(crowd)
    world.run_until(300.0)
    server.peak_waiting = 0
    world.run_until(600.0)
    rates = [crowd.tokens_rate(300.0, 600.0) for crowd in crowds]
    print(f"\ntwo clients: {rates}, queue {server.peak_waiting}")  # noqa: T201  # figures, with -s
    assert sum(rates) >= 0.97 * optimum("64 slots")
    assert min(rates) >= 0.1 * sum(rates)
    assert server.peak_waiting <= 40


def figures(second: int, *, waiting: int = 0, kv: float = 0.3, preempted: int = 0, running: int = 32) -> Gauges:
    return Gauges(running, waiting, kv, preempted, 1000 * second)


def busy(controller: Controller, now: float, answers: int) -> None:
    for _ in range(answers):
        controller.on_start(now, controller.limit)
        controller.on_success(now, now - 0.5, controller.limit, 100)
    controller.on_start(now, controller.limit)


def test_without_fresh_figures_nothing_grows() -> None:
    """The figures stall: a thousand answers later the limit is what it was; then it goes on."""
    controller = Knee(ceiling=512)
    controller.observe(0.0, figures(0))
    busy(controller, 1.0, 1000)
    assert controller.limit == 32
    controller.observe(STALE_S + 1.0, figures(16))
    for second in range(17, 17 + FEWEST):
        assert controller.limit == 32
        busy(controller, second - 0.5, 100)
        controller.observe(float(second), figures(second))
    assert controller.limit == 64


def test_a_queue_seen_once_is_an_arrival_and_twice_is_a_queue() -> None:
    """Sequences wait for a step of the batch at any time; only those that wait at two looks in a row are taken back."""
    controller = Knee(ceiling=512, start=100)
    for second in range(3):
        busy(controller, second + 0.5, 10)
        controller.observe(float(second), figures(second, waiting=40 * (second == 1), running=60))
    assert controller.limit == 100
    busy(controller, 3.5, 10)
    controller.observe(3.0, figures(3, waiting=40, running=60))
    controller.observe(4.0, figures(4, waiting=40, running=60))
    assert 60 <= controller.limit <= 66
    assert controller.reason() == "waiting queue on the server"


@pytest.mark.fault("F-51")
def test_preemptions_cut_once_until_drained_and_deeper_when_they_go_on() -> None:
    """F-51: cut, then nothing until the calls above the limit have ended, then a deeper cut."""
    controller = Knee(ceiling=512, start=100)
    controller.on_start(0.0, 100)
    for second in range(5):
        controller.observe(float(second), figures(second, preempted=100 * second))
    assert controller.limit == 93
    assert "preempts" in controller.reason()
    controller.on_success(5.0, 0.0, 93, 100)
    for second in range(5, 9):
        controller.observe(float(second), figures(second, preempted=100 * second))
    assert controller.limit == 80


def test_a_restarted_server_starts_its_totals_anew() -> None:
    """Totals that went back are no preemptions below nothing and no tokens unwritten."""
    controller = Knee(ceiling=512)
    for second, gauges in enumerate([figures(500, preempted=90), figures(1), figures(2), figures(3)]):
        busy(controller, second - 0.5, 100)
        controller.observe(float(second), gauges)
    assert not [change for change in controller.changes() if change.reason.startswith("cut")]


LOOKS = st.builds(
    Gauges, st.integers(0, 500), st.integers(0, 500), st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 10**9)
)


@given(st.lists(st.tuples(LOOKS | st.integers(1, 50), st.floats(0.1, 30)), max_size=80), st.booleans())
def test_whatever_the_figures_say_the_limit_stays_within_its_bounds(
    steps_: list[tuple[Gauges | int, float]], by_figures: bool
) -> None:
    """Numbers, however odd, never leave room for nobody."""
    controller: Knee | Gradient = Knee(ceiling=64) if by_figures else Gradient(ceiling=64)
    now = 0.0
    for step, pause in steps_:
        now += pause
        if isinstance(step, int):
            busy(controller, now, step)
            controller.on_limited(now, now - 0.1)
        elif isinstance(controller, Knee):
            controller.observe(now, step)
        assert 1 <= controller.limit <= 64
        assert len(controller.changes()) <= 64
