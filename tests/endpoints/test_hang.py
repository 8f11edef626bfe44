"""When silence becomes suspicious."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.servers.hang import HangOptions, HangWatch

OPTIONS = HangOptions()
LEAST_S, GREATEST_S = OPTIONS.silence_s


def first_suspicion(watch: HangWatch, start: float, *, in_flight: int, last_answer_at: float | None) -> float:
    """Seconds of looking once a second until the watch is suspicious; 1000 where it never is."""
    looks = range(1000)
    return next(
        (
            float(second)
            for second in looks
            if watch.is_suspect(start + second, in_flight=in_flight, last_answer_at=last_answer_at)
        ),
        1000.0,
    )


@pytest.mark.fault("F-48")
def test_silence_begins_with_the_first_call() -> None:
    """Nobody asked, nobody is silent; from the first call on the greatest time holds while nothing is known."""
    watch = HangWatch(OPTIONS)
    assert first_suspicion(watch, 0.0, in_flight=0, last_answer_at=None) == 1000.0
    assert first_suspicion(watch, 1000.0, in_flight=3, last_answer_at=None) == GREATEST_S


@pytest.mark.fault("F-48")
def test_calls_that_time_out_do_not_hide_a_hang() -> None:
    """In flight falls to nothing when deadlines pass, and the silence goes on."""
    watch = HangWatch(OPTIONS)
    assert not watch.is_suspect(0.0, in_flight=3, last_answer_at=None)
    assert first_suspicion(watch, 1.0, in_flight=0, last_answer_at=None) == GREATEST_S - 1.0


@pytest.mark.fault("F-48")
def test_a_brisk_server_is_suspected_sooner() -> None:
    """Four times the longest gap of late, and never under the least."""
    for gap, limit in ((1.0, LEAST_S), (8.0, 32.0), (30.0, GREATEST_S)):
        watch = HangWatch(OPTIONS)
        for answer in range(4):
            watch.is_suspect(gap * answer, in_flight=9, last_answer_at=gap * answer)
        assert watch.limit_s == limit
        assert first_suspicion(watch, 3 * gap, in_flight=9, last_answer_at=3 * gap) == limit


@pytest.mark.fault("F-48")
def test_a_canary_gives_new_time() -> None:
    """And without a call out no more is asked."""
    watch = HangWatch(OPTIONS)
    assert first_suspicion(watch, 0.0, in_flight=1, last_answer_at=None) == GREATEST_S
    watch.passed()
    assert first_suspicion(watch, 100.0, in_flight=1, last_answer_at=None) == GREATEST_S
    watch.passed()
    assert first_suspicion(watch, 300.0, in_flight=0, last_answer_at=None) == 1000.0


@pytest.mark.fault("F-48")
@given(st.lists(st.tuples(st.floats(0.1, 50.0), st.booleans(), st.integers(0, 4)), max_size=60))
def test_a_hang_is_never_found_late_and_never_early(looks: list[tuple[float, bool, int]]) -> None:
    """Whatever came before: with calls out, suspicion comes between the least and the greatest silence."""
    watch, now, last = HangWatch(OPTIONS), 0.0, None
    for step, has_answered, in_flight in looks:
        now += step
        last = now if has_answered else last
        if watch.is_suspect(now, in_flight=in_flight, last_answer_at=last):
            watch.passed()
    now += 1.0
    watch.is_suspect(now, in_flight=1, last_answer_at=now)
    assert LEAST_S <= first_suspicion(watch, now, in_flight=1, last_answer_at=now) <= GREATEST_S + 1.0  # one look
