"""The limits that providers tell of in the headers of every reply."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.rate_headers import Bucket, Limits, parse_limits

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-limit-tokens": "800000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-remaining-tokens": "799975",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "1m1.5s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000",
    "anthropic-ratelimit-input-tokens-reset": "2026-03-01T11:59:00Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
}
MISTRAL = {
    "x-ratelimit-limit-req-minute": "60",
    "x-ratelimit-remaining-req-minute": "59",
    "x-ratelimit-limit-tokens-minute": "500000",
    "x-ratelimit-remaining-tokens-minute": "499000",
}
OPENROUTER = {
    "x-ratelimit-limit": "20",
    "x-ratelimit-remaining": "3",
    "x-ratelimit-reset": "1772366430000",
}
FIREWORKS = {
    "x-ratelimit-limit-requests": "600",
    "x-ratelimit-limit-tokens-prompt": "60000",
    "x-ratelimit-remaining-tokens-prompt": "59000",
    "x-ratelimit-limit-tokens-generated": "6000",
}


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (OPENAI, Limits(Bucket(5000, 4999, 0.012), Bucket(800_000, 799_975, 61.5))),
        (
            ANTHROPIC,
            Limits(Bucket(50, 49, 2.0), input_tokens=Bucket(30_000, 29_000, 0.0), output_tokens=Bucket(8_000, 0, None)),
        ),
        (MISTRAL, Limits(Bucket(60, 59), Bucket(500_000, 499_000))),
        (OPENROUTER, Limits(Bucket(20, 3, 30.0))),
        (FIREWORKS, Limits(Bucket(600), None, Bucket(60_000, 59_000), Bucket(6_000))),
        ({"ratelimit-limit": "10", "ratelimit-remaining": "9", "ratelimit-reset": "7"}, Limits(Bucket(10, 9, 7.0))),
        ({"x-ratelimit-remaining-tokens": "5.0"}, Limits(tokens=Bucket(None, 5.0))),
        ({}, None),
        ({"content-type": "application/json"}, None),
        ({"x-ratelimit-reset-requests": "1s"}, None),
    ],
)
def test_what_providers_send(headers: dict[str, str], limits: Limits | None) -> None:
    """Each provider's names, as their documentation has them."""
    assert parse_limits(headers, NOW) == limits


@pytest.mark.parametrize(
    "value", ["", " ", "-1", "nan", "inf", "1e5", "1_000", "\u0663", "5,000", "10;w=60", "0x10", "9" * 40, "+5"]
)
def test_what_is_no_count(value: str) -> None:
    """Anything but plain ASCII digits is not understood, and does no harm to what is."""
    headers = {**OPENAI, "x-ratelimit-limit-requests": value}
    limits = parse_limits(headers, NOW)
    assert limits is not None
    assert limits.requests == Bucket(None, 4999, 0.012)


@given(st.dictionaries(st.sampled_from(sorted({**OPENAI, **ANTHROPIC, **OPENROUTER})), st.text(max_size=40)))
def test_any_headers_give_sound_numbers(headers: dict[str, str]) -> None:
    """No header raises, and every number told is finite and not negative."""
    limits = parse_limits(headers, NOW)
    if limits is None:
        return
    for bucket in (limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens):
        if bucket is not None:
            told = [number for number in (bucket.limit, bucket.remaining, bucket.reset_s) if number is not None]
            assert all(0.0 <= number < 1e16 for number in told)
            assert bucket.reset_s is None or bucket.reset_s <= 3600.0
