"""When a server says we may come back, in every form servers say it.

Law: whatever the headers hold, the answer is None or a finite number of seconds from 0 to `MAX_WAIT_S`. The
grammar is checked in ASCII before any number is read, because `float` takes `nan`, `1_000` and digits of
other scripts. What is not understood is None: then the caller's own back-off holds.

Sources: RFC 9110 sections 5.6.7 and 10.2.3 (delay-seconds, HTTP-date); `retry-after-ms` and
`x-ratelimit-reset-*` as OpenAI and its imitators send them; `anthropic-ratelimit-*-reset`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

MAX_WAIT_S = 3600.0
"""A longer wish is cut to this: past an hour it is better to ask again."""

_EPOCH_FROM = 1e9
_EPOCH_MS_FROM = 1e11
"""A bare number in a reset header is a delay below the first, Unix seconds below the second, else Unix ms."""

_MAX_LENGTH = 64
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_TIME = r"(?P<h>[0-9]{2}):(?P<mi>[0-9]{2}):(?P<s>[0-9]{2})"
_DATES = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<d>[0-9]{{2}}) (?P<mo>[A-Z][a-z]{{2}}) (?P<y>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<d>[0-9]{{2}})-(?P<mo>[A-Z][a-z]{{2}})-(?P<y>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(rf"[A-Z][a-z]{{2}} (?P<mo>[A-Z][a-z]{{2}}) (?P<d>[ 0-9][0-9]) {_TIME} (?P<y>[0-9]{{4}})"),
)
"""The three forms of an HTTP-date: IMF-fixdate, RFC 850, asctime."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_RESETS = (
    "x-ratelimit-reset",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-reset-input-tokens",
    "x-ratelimit-reset-output-tokens",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-reset",
    "anthropic-ratelimit-output-tokens-reset",
)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, 0 to `MAX_WAIT_S`, or None where the headers do not say.

    `headers` are looked up by lower-case name. `now` (with its time zone) stands in where the reply has no
    readable `Date`: a date is read against the clock of the server that wrote it. `retry-after-ms` and
    `retry-after` speak for themselves; without them the latest reset counts.
    """
    now = _http_date(headers.get("date", "")) or now
    said = _milliseconds(headers.get("retry-after-ms")), _delay(headers.get("retry-after"), now)
    wish = next((seconds for seconds in said if seconds is not None), None)
    if wish is None:
        resets = [_reset(headers.get(name), now) for name in _RESETS]
        wish = max((seconds for seconds in resets if seconds is not None), default=None)
    return None if wish is None else min(max(wish, 0.0), MAX_WAIT_S)


def _clean(value: str | None) -> str | None:
    """The value without blanks around it, or None where no grammar here could match it."""
    if value is None or not value.isascii() or len(value) > _MAX_LENGTH:
        return None
    return value.strip(" \t") or None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _milliseconds(value: str | None) -> float | None:
    number = _number(_clean(value) or "")
    return None if number is None else number / 1000


def _delay(value: str | None, now: datetime) -> float | None:
    text = _clean(value)
    if text is None:
        return None
    number = _number(text)
    return number if number is not None else _duration(text) or _until(_date(text), now)


def _reset(value: str | None, now: datetime) -> float | None:
    """As a delay, but a large number is a moment, in Unix seconds or milliseconds."""
    number = _number(_clean(value) or "")
    if number is None or number < _EPOCH_FROM:
        return _delay(value, now)
    return number / (1000 if number >= _EPOCH_MS_FROM else 1) - now.timestamp()


def _duration(text: str) -> float | None:
    """`1m30s`, `6m0s`, `20ms`, `1.5s`: Go's way to write a duration."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(text))


def _until(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (moment - now) / timedelta(seconds=1)


def _date(text: str) -> datetime | None:
    if _ISO.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:  # the 30th of February
            return None
    return _http_date(text)


def _http_date(text: str) -> datetime | None:
    for form in _DATES:
        if found := form.fullmatch(text):
            return _moment(found)
    return None


def _moment(found: re.Match[str]) -> datetime | None:
    year = int(found["y"])
    if len(found["y"]) == 2:  # noqa: PLR2004  # RFC 850 years, read as this century
        year += 2000
    clock = int(found["h"]), int(found["mi"]), min(int(found["s"]), 59)  # a leap second is near enough
    try:
        return datetime(year, _MONTHS.index(found["mo"]) + 1, int(found["d"]), *clock, tzinfo=UTC)
    except ValueError:
        return None
