"""What a provider says of our account's limits, on every reply and not on refusals alone.

Law: a number is told only where the header holds one in plain ASCII digits; what is not understood is None. Pure:
the caller decides what a bucket means for its pace.

Sources: OpenAI "Rate limits" (`x-ratelimit-*-requests`, `-tokens`; Azure, Groq, DeepInfra and vLLM's gateways send
the same), Anthropic "Rate limits" (`anthropic-ratelimit-*`), Mistral (`-req-minute`, `-tokens-minute`), Cerebras
(`-requests-day`, `-tokens-minute`), Fireworks (`-tokens-prompt`, `-tokens-generated`), and the three headers of the
IETF draft "RateLimit header fields" (draft-ietf-httpapi-ratelimit-headers-06), which OpenRouter sends with an `x-`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from star_agents.traffic.retry_after import parse_retry_after

_COUNT = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_MAX_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit: how much it holds, how much of it is left, and seconds until it is full again (0 to 3600)."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The buckets that a reply told of, None for those it did not.

    `tokens` counts prompt and answer together, the other two count them apart. Most providers mean a minute by a
    bucket; some mean a day for requests (Groq's `requests` is one), and `reset_s` tells which.
    """

    requests: Bucket | None = None
    tokens: Bucket | None = None
    input_tokens: Bucket | None = None
    output_tokens: Bucket | None = None


_Names = tuple[str, str, str]
"""The headers of a bucket's limit, of what remains, and of its reset."""


def _openai(kind: str) -> _Names:
    return f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"


def _anthropic(kind: str) -> _Names:
    bucket = f"anthropic-ratelimit-{kind}"
    return f"{bucket}-limit", f"{bucket}-remaining", f"{bucket}-reset"


_HEADERS: Mapping[str, tuple[_Names, ...]] = {
    "requests": (
        _openai("requests"),
        _anthropic("requests"),
        _openai("req-minute"),
        _openai("requests-day"),
        ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ),
    "tokens": (_openai("tokens"), _anthropic("tokens"), _openai("tokens-minute")),
    "input_tokens": (_openai("input-tokens"), _anthropic("input-tokens"), _openai("tokens-prompt")),
    "output_tokens": (_openai("output-tokens"), _anthropic("output-tokens"), _openai("tokens-generated")),
}
"""For each bucket the names that it goes by; the first that is there counts."""


def parse_limits(headers: Mapping[str, str], now: datetime) -> Limits | None:
    """The limits in a reply's headers, or None where there are none.

    `headers` are looked up by lower-case name; `now` (with its time zone) is what a reset's date is read against.
    """
    found = {kind: _bucket(headers, families, now) for kind, families in _HEADERS.items()}
    return Limits(**found) if any(found.values()) else None


def _bucket(headers: Mapping[str, str], families: tuple[_Names, ...], now: datetime) -> Bucket | None:
    for names in families:
        limit, remaining = (_count(headers.get(name)) for name in names[:2])
        if limit is not None or remaining is not None:
            reset = headers.get(names[2])
            told = {"x-ratelimit-reset": reset} if reset else {}
            return Bucket(limit, remaining, parse_retry_after(told, now) if told else None)
    return None


def _count(value: str | None) -> float | None:
    if value is None or len(value) > _MAX_LENGTH:
        return None
    text = value.strip(" \t")
    return float(text) if _COUNT.fullmatch(text) else None
