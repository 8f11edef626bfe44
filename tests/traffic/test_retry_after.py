"""Every form in which servers say when to come back, and everything that only looks like one (F-16, F-17)."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.retry_after import MAX_WAIT_S, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

RETRY_AFTER = [
    ("5", 5.0),
    ("0", 0.0),
    ("00", 0.0),
    ("0.5", 0.5),
    (" 7 ", 7.0),
    ("\t7", 7.0),
    ("120", 120.0),
    ("3600", 3600.0),
    ("3601", 3600.0),
    ("99999999999", 3600.0),
    ("9" * 15, 3600.0),
    ("9" * 16, None),
    ("1.5s", 1.5),
    ("20ms", 0.02),
    ("1m30s", 90.0),
    ("6m0s", 360.0),
    ("1h", 3600.0),
    ("2h", 3600.0),
    ("1d", 3600.0),
    ("1h2m3s", 3600.0),
    ("2m", 120.0),
    ("Sun, 01 Mar 2026 12:00:09 GMT", 9.0),
    ("Sun, 01 Mar 2026 11:59:00 GMT", 0.0),
    ("Sun, 01 Mar 2026 12:00:60 GMT", 59.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ("Sunday, 01-Mar-26 12:00:09 GMT", 9.0),
    ("Sun Mar  1 12:00:09 2026", 9.0),
    ("2026-03-01T12:00:04Z", 4.0),
    ("2026-03-01T12:00:04.5Z", 4.5),
    ("2026-03-01T13:00:04+01:00", 4.0),
    ("2026-02-30T12:00:04Z", None),
    ("2026-03-01T12:00:04", None),
    ("Sun, 30 Feb 2026 12:00:09 GMT", None),
    ("Sun, 01 Foo 2026 12:00:09 GMT", None),
    ("Sun, 01 Mar 2026 25:00:09 GMT", None),
    ("Sun, 01 Mar 2026 12:00:09 CET", None),
    ("", None),
    (" ", None),
    ("-5", None),
    ("+5", None),
    ("nan", None),
    ("NaN", None),
    ("inf", None),
    ("-inf", None),
    ("Infinity", None),
    ("1e3", None),
    ("1e999", None),
    ("0x10", None),
    ("1_000", None),
    ("1,5", None),
    ("1.", None),
    (".5", None),
    ("5 seconds", None),
    ("5s s", None),
    ("s", None),
    ("ms", None),
    ("٣", None),
    ("٣٠", None),
    ("\uff15", None),
    ("½", None),
    ("5\n6", None),
    ("5\u00a0", None),
    ("soon", None),
    ("null", None),
    ("5" * 65, None),
]


@pytest.mark.fault("F-16", "F-17")
@pytest.mark.parametrize(("value", "expected"), RETRY_AFTER)
def test_retry_after_forms(value: str, expected: float | None) -> None:
    """F-17: a form that servers use is understood, anything else is no answer, and the answer is clamped."""
    assert parse_retry_after({"retry-after": value}, NOW) == pytest.approx(expected)


@pytest.mark.fault("F-17")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "9", "x-ratelimit-reset-tokens": "6m0s"}, 9.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 30)}, 30.0),
        ({"x-ratelimit-reset": str((int(NOW.timestamp()) + 30) * 1000)}, 30.0),
        ({"anthropic-ratelimit-requests-reset": "2026-03-01T12:00:40Z"}, 40.0),
        ({"x-ratelimit-reset-requests": "nan", "x-ratelimit-reset-tokens": "1m"}, 60.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:09 GMT", "date": "Sun, 01 Mar 2026 12:00:04 GMT"}, 5.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:09 GMT", "date": "yesterday"}, 9.0),
    ],
)
def test_which_header_counts(headers: dict[str, str], expected: float | None) -> None:
    """F-17: what speaks for itself comes first, then the latest reset; dates are read by the server's own clock."""
    assert parse_retry_after(headers, NOW) == pytest.approx(expected)


NAMES = st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens", "date"])
VALUES = st.one_of(
    st.text(max_size=70),
    st.from_regex(r"[0-9a-zA-Z:,. +-]{0,40}", fullmatch=True),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)


@pytest.mark.fault("F-17")
@given(st.dictionaries(NAMES, VALUES))
def test_nothing_breaks_it(headers: dict[str, str]) -> None:
    """Whatever the headers hold, the answer is None or a finite wait within bounds."""
    wait = parse_retry_after(headers, NOW)
    assert wait is None or (math.isfinite(wait) and 0.0 <= wait <= MAX_WAIT_S)


@given(st.integers(0, 3600), st.integers(0, 999))
def test_seconds_and_milliseconds_agree(seconds: int, ms: int) -> None:
    """The two spellings of one wait are one wait."""
    spelt = parse_retry_after({"retry-after": f"{seconds}.{ms:03d}"}, NOW)
    assert spelt == pytest.approx(parse_retry_after({"retry-after-ms": str(1000 * seconds + ms)}, NOW))
