"""The one decision about failures: who is charged, how long the wait, when it ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import errors
from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    ConnectFailedError,
    EmptyReplyError,
    FilteredReplyError,
    OverloadedError,
    RateLimitedError,
    ReasoningOnlyError,
    StarError,
)
from star_agents.traffic.retry import (
    BACKOFF_S,
    MAX_CHARGED,
    MAX_SAME,
    MAX_SAMPLES,
    Failed,
    GiveUp,
    Retry,
    RetryClass,
    Tried,
    decide,
    full_jitter,
    needs_budget,
    pause_s,
    retry_class,
)

KINDS: list[type[StarError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.EndpointError | errors.ReplyError)
]


def failed(error: StarError, tried: Tried | None = None, **changes: object) -> Failed:
    base = Failed(error=error, tried=tried or Tried(), deadline_s=900.0, jitter=0.5)
    return replace(base, **changes)  # type: ignore[arg-type]  # named as the fields are


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_and_the_table_agree(kind: type[StarError]) -> None:
    """An error that its class calls retryable is tried again at first, and any other is not."""
    assert isinstance(decide(failed(kind("x"))), Retry) == kind.retryable


def test_a_subclass_goes_by_its_nearest_ancestor() -> None:
    """The table need not name every class."""
    assert retry_class(ReasoningOnlyError("x")) is RetryClass.QUALITY
    assert retry_class(errors.ContextOverflowError("x")) is RetryClass.PERMANENT
    assert retry_class(StarError("x")) is RetryClass.PERMANENT


@pytest.mark.fault("F-01")
def test_f01_a_refused_connection_is_tried_once_more_for_free() -> None:
    """F-01: at once and not charged the first time, then with back-off."""
    error = ConnectFailedError("refused")
    assert decide(failed(error)) == Retry(0.0, is_charged=False)
    assert decide(failed(error, Tried(reconnects=1))) == Retry(0.5 * BACKOFF_S[0])


@pytest.mark.fault("F-25")
def test_f25_a_transient_fault_has_four_sends() -> None:
    """F-25: charged sends end at the limit, whatever they failed with."""
    error = OverloadedError("busy")
    sends, tried, step = 1, Tried(), decide(failed(error))
    while isinstance(step, Retry):
        tried = tried.after(step, failed(error, tried))
        sends += 1
        step = decide(failed(error, tried))
    assert (sends, step) == (MAX_CHARGED, GiveUp("attempts"))


def test_a_server_that_names_its_time_is_given_it() -> None:
    """A `Retry-After` on a 503 lengthens the back-off and never shortens it."""
    assert decide(failed(OverloadedError("busy", retry_after_s=40.0))) == Retry(40.0)
    assert decide(failed(OverloadedError("busy", retry_after_s=0.0))) == Retry(0.25)


def test_a_probe_is_not_the_requests_fault() -> None:
    """A call that was sent to see whether a dead server lives is never charged for finding out that it does not."""
    worn_out = Tried(charged=MAX_CHARGED, reconnects=1)
    for error in (ConnectFailedError("refused"), OverloadedError("busy")):
        assert decide(failed(error, worn_out, is_probe=True)) == Retry(0.0, is_charged=False)


@pytest.mark.fault("F-16")
def test_f16_a_rate_limit_pauses_everybody_and_charges_nobody() -> None:
    """F-16: the server's time, stretched by up to a fifth, and no limit on how often."""
    error = RateLimitedError("slow down", retry_after_s=5.0)
    assert decide(failed(error, Tried(limited=50))) == Retry(0.0, is_charged=False)
    assert [pause_s(failed(error, jitter=jitter)) for jitter in (0.0, 0.5)] == [5.0, 5.5]
    assert pause_s(failed(OverloadedError("busy"))) == 0.0


@pytest.mark.fault("F-18")
def test_f18_a_rate_limit_without_a_time_backs_off_from_one_second_to_sixty() -> None:
    """F-18: full jitter under a ceiling that doubles with each rate limit in a row."""
    error = RateLimitedError("slow down")
    pauses = [pause_s(failed(error, Tried(limited=count), jitter=1.0 - 1e-9)) for count in range(8)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], rel=1e-6)


def test_rate_limits_are_counted_in_a_row() -> None:
    """Any other failure ends the row."""
    step, limited = Retry(0.0, is_charged=False), failed(RateLimitedError("slow down"))
    tried = Tried().after(step, limited).after(step, limited)
    assert tried.limited == 2
    assert tried.after(Retry(1.0), failed(OverloadedError("busy"))).limited == 0


@pytest.mark.fault("F-25")
def test_a_request_that_a_working_server_always_fails_in_the_same_words_is_given_up() -> None:
    """The fourth time, even where the sends were probes and not charged; another error starts the count again."""
    error = OverloadedError("500: index out of range")
    tried = Tried()
    for _ in range(MAX_SAME - 1):
        now = failed(error, tried, is_probe=True, answers_others=True)
        step = decide(now)
        assert step == Retry(0.0, is_charged=False)
        tried = tried.after(step, now)
    assert decide(failed(error, tried, is_probe=True, answers_others=True)) == GiveUp("same")
    assert isinstance(decide(failed(OverloadedError("503"), tried, is_probe=True, answers_others=True)), Retry)
    assert isinstance(decide(failed(error, tried, is_probe=True)), Retry)  # an outage: nobody is answered


def test_only_what_a_server_failed_to_take_or_serve_needs_the_budget() -> None:
    """A probe is the breaker's, a rate limit the pause's, and a new sample asks a server that works."""
    assert needs_budget(failed(OverloadedError("busy")))
    assert needs_budget(failed(ConnectFailedError("refused")))
    assert not needs_budget(failed(OverloadedError("busy"), is_probe=True))
    assert not needs_budget(failed(RateLimitedError("slow down")))
    assert not needs_budget(failed(EmptyReplyError("x")))


@pytest.mark.fault("F-37")
def test_f37_an_empty_reply_has_two_new_samples() -> None:
    """F-37: after that it is the model's outcome."""
    assert decide(failed(EmptyReplyError("x"), Tried(samples=MAX_SAMPLES - 1))) == Retry(0.0)
    assert decide(failed(EmptyReplyError("x"), Tried(samples=MAX_SAMPLES))) == GiveUp("samples")


@pytest.mark.fault("F-21")
def test_f21_a_fatal_endpoint_is_left_for_another_replica() -> None:
    """F-21: free of charge where there is one, and for good where there is none."""
    assert decide(failed(AuthFailedError("x"), has_other_replica=True)) == Retry(0.0, is_charged=False)
    assert decide(failed(AuthFailedError("x"))) == GiveUp("endpoint")


@pytest.mark.fault("F-24", "F-39")
@pytest.mark.parametrize("error", [BadRequestError("x"), FilteredReplyError("x")])
def test_f24_what_will_never_do_is_not_tried_again(error: StarError) -> None:
    """F-24, F-39: refused for what it says, or filtered."""
    assert decide(failed(error)) == GiveUp("permanent")


TRIED = st.builds(
    Tried,
    charged=st.integers(0, 6),
    reconnects=st.integers(0, 3),
    samples=st.integers(0, 4),
    limited=st.integers(0, 2000),
)


@given(st.sampled_from(KINDS), TRIED, st.floats(0, 2000), st.floats(0, 2000), st.floats(0, 1, exclude_max=True))
def test_no_retry_after_the_deadline_and_no_endless_wait(
    kind: type[StarError], tried: Tried, elapsed: float, deadline: float, jitter: float
) -> None:
    """Whatever came before, a retry is decided only before the deadline, and waits a bounded time."""
    step = decide(failed(kind("x"), tried, elapsed_s=elapsed, deadline_s=deadline, jitter=jitter))
    if isinstance(step, Retry):
        assert elapsed < deadline
        assert 0.0 <= step.after_s <= BACKOFF_S[1]


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_full_jitter_stays_below_its_ceiling(failures: int, jitter: float) -> None:
    """However many failures, and without overflow."""
    assert 0.0 <= full_jitter((0.5, 30.0), failures, jitter) < 30.0
