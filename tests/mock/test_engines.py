"""Time models against what they promise, on time that is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.mock.batching import BatchEngine, Batching
from star_agents.mock.engine import Engine, Job, SlotEngine, Slots


def run_out(engine: Engine, jobs: list[Job], start: float = 0.0) -> dict[Job, float]:
    """Submit everything at once and let time pass; when each is done."""
    done = {job: start for job in jobs if engine.submit(start, job)}
    while (at := engine.next_at()) is not None:
        done |= dict.fromkeys(engine.advance(at), at)
    return done


def test_slots_make_others_wait() -> None:
    """Two at once: the third begins when the first is done."""
    engine = SlotEngine(Slots(limit=2))
    jobs = [Job(1, 10, service_s) for service_s in (1.0, 3.0, 1.0)]
    assert run_out(engine, jobs) == dict(zip(jobs, (1.0, 3.0, 2.0), strict=True))
    gauges = engine.gauges(4.0)
    assert (gauges.running_s, gauges.busy_s) == (5.0, 2.5)


def test_without_time_and_limit_a_job_is_done_at_once() -> None:
    """The engine of a server without latency does nothing."""
    engine = SlotEngine(Slots())
    assert engine.submit(0.0, Job(1, 10))
    assert engine.next_at() is None


def test_a_stream_writes_evenly() -> None:
    """Nothing until the first token, all at the end."""
    engine = SlotEngine(Slots(first_token_share=0.5))
    job = Job(1, 11, 2.0)
    engine.submit(0.0, job)
    assert [engine.decoded(at, job) for at in (0.5, 1.0, 1.5)] == [0, 1, 6]
    assert engine.advance(2.0) == [job]
    assert engine.decoded(2.0, job) == 11


@pytest.mark.parametrize(("sequences", "rate"), [(1, 10.0), (4, 40.0), (8, 40.0), (16, 40.0)])
def test_throughput_grows_up_to_the_knee(sequences: int, rate: float) -> None:
    """A knee of four at ten tokens a second each: forty together, however many more there are."""
    engine = BatchEngine(Batching(knee=4, decode_rate=10, prefill_rate=1e9))
    done = run_out(engine, [Job(0, 100) for _ in range(sequences)])
    assert 100 * sequences / max(done.values()) == pytest.approx(rate, rel=1e-3)
    assert engine.gauges(max(done.values())).busy_s == pytest.approx(max(done.values()) * rate / 40, rel=1e-3)


def test_prefill_comes_before_the_first_token() -> None:
    """A hundred tokens at a hundred a second."""
    engine = BatchEngine(Batching(knee=4, decode_rate=10, prefill_rate=100))
    job = Job(100, 10)
    assert run_out(engine, [job])[job] == pytest.approx(2.0)
    assert job.first_token_at == pytest.approx(1.0)


def test_no_more_run_than_may() -> None:
    """The rest waits in line."""
    engine = BatchEngine(Batching(max_running=2, knee=2, decode_rate=10, prefill_rate=1e9))
    jobs = [Job(0, 10) for _ in range(4)]
    for job in jobs:
        engine.submit(0.0, job)
    assert (engine.gauges(0.0).running, engine.gauges(0.0).waiting) == (2, 2)
    engine.drop(0.5, jobs[0])
    engine.drop(0.5, jobs[3])
    assert (engine.gauges(0.5).running, engine.gauges(0.5).waiting) == (2, 0)
    assert engine.decoded(0.5, jobs[1]) == 5


def test_a_full_cache_preempts_the_last() -> None:
    """It keeps what it wrote, is prefilled again, and all are done in the end."""
    engine = BatchEngine(Batching(knee=8, decode_rate=10, prefill_rate=1000, kv_tokens=150))
    jobs = [Job(20, 50) for _ in range(5)]
    done = run_out(engine, jobs)
    gauges = engine.gauges(max(done.values()))
    assert set(done) == set(jobs)
    assert gauges.preemptions > 0
    assert gauges.kv_usage == 0
    assert gauges.generated == pytest.approx(250, abs=5)
    assert gauges.prefilled > 100
    assert done[jobs[0]] < done[jobs[4]]


def test_capacity_steps_take_effect_at_once() -> None:
    """A hundredth of the knee from then on, and back."""
    engine = BatchEngine(Batching(knee=10, decode_rate=10, prefill_rate=1e9))
    jobs = [Job(0, 100) for _ in range(10)]
    for job in jobs:
        engine.submit(0.0, job)
    engine.scale(5.0, 0.1)
    engine.scale(15.0, 1.0)
    assert engine.decoded(15.0, jobs[0]) == 60
    assert engine.next_at() == pytest.approx(19.0)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 60), st.integers(1, 60), st.booleans()), max_size=40),
    st.sampled_from([None, 70, 130]),
    st.integers(1, 6),
)
def test_every_job_comes_out_once(
    arrivals: list[tuple[float, int, int, bool]], kv_tokens: int | None, max_running: int
) -> None:
    """Or was dropped; nothing is held in the end, and throughput was never above the knee's."""
    engine = BatchEngine(
        Batching(max_running=max_running, knee=3, decode_rate=20, prefill_rate=200, kv_tokens=kv_tokens)
    )
    now, kept, out = 0.0, [], []
    for gap_s, prompt_tokens, tokens, is_dropped in arrivals:
        now += gap_s
        out += engine.advance(now)
        job = Job(prompt_tokens, tokens)
        engine.submit(now, job)
        if is_dropped:
            engine.drop(now + 0.01, job)
            now += 0.01
        else:
            kept.append(job)
    while (at := engine.next_at()) is not None:
        now = max(now, at)
        out += engine.advance(at)
    gauges = engine.gauges(now)
    assert sorted(map(id, out)) == sorted(map(id, kept))
    assert (gauges.running, gauges.waiting, gauges.kv_usage) == (0, 0, 0)
    assert gauges.generated <= 3 * 20 * now + 1
    assert gauges.busy_s <= now + 1e-6


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 5), st.booleans()), max_size=40), st.integers(1, 5))
def test_slots_hold_what_they_say(arrivals: list[tuple[float, float, bool]], limit: int) -> None:
    """Every job comes out once or was dropped, and no more run than there are slots."""
    engine = SlotEngine(Slots(limit=limit))
    now, kept, out = 0.0, [], []
    for gap_s, service_s, is_dropped in arrivals:
        now += gap_s
        out += engine.advance(now)
        job = Job(1, 1, service_s)
        if engine.submit(now, job):
            out.append(job)
        elif is_dropped:
            engine.drop(now, job)
            continue
        kept.append(job)
        assert engine.gauges(now).running <= limit
    while (at := engine.next_at()) is not None:
        out += engine.advance(at)
    assert sorted(map(id, out)) == sorted(map(id, kept))
