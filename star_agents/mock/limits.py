"""The limits of an API: requests and tokens a minute, and calls at once; what it says of them in headers.

Law: pure. Buckets fill evenly and hold a minute's worth at most (or `burst_s` of it), and a request is taken from
all of them or from none. Sources: OpenAI's rate limit guide (`x-ratelimit-*`), Anthropic's (`anthropic-ratelimit-*`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Style = Literal["openai", "anthropic"]
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """A minute's worth of each; None is no limit."""

    requests: float | None = None
    tokens: float | None = None
    """Of prompts and of answers at the length that `max_tokens` allows, as OpenAI counts."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    """Of answers as long as they are."""
    in_flight: int | None = None
    """Calls at once; one more is a 429 too."""
    burst_s: float = MINUTE_S
    """How many seconds' worth a bucket holds."""
    style: Style = "openai"

    @property
    def is_any(self) -> bool:
        """Is anything limited?"""
        limits = (self.requests, self.tokens, self.input_tokens, self.output_tokens, self.in_flight)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request takes from each bucket."""

    input_tokens: int
    output_tokens: int
    most_output_tokens: int
    """What `max_tokens` allows."""


class _Bucket:
    """Seconds' worth of something."""

    def __init__(self, per_minute: float, burst_s: float) -> None:
        self.per_minute = per_minute
        self.rate = per_minute / MINUTE_S
        self.level = self.size = max(1.0, self.rate * burst_s)
        self._at = 0.0

    def fill(self, now: float) -> None:
        self.level = min(self.size, self.level + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)

    def wait_s(self, amount: float) -> float:
        """Until so much is in it; what is larger than the bucket has to wait for a full one."""
        return max(0.0, min(amount, self.size) - self.level) / self.rate


@dataclass(slots=True)
class Gate:
    """Lets requests in while the limits allow it."""

    limits: ApiLimits
    factor: float = 1.0
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._build()

    def scale(self, now: float, factor: float) -> None:
        """From now on the limits are so much of what they were at first; what a bucket holds shrinks with it."""
        levels = {name: bucket.level / bucket.size for name, bucket in self._filled(now).items()}
        self.factor = factor
        self._build()
        for name, bucket in self._buckets.items():
            bucket.fill(now)
            bucket.level = bucket.size * levels[name]

    def admit(self, now: float, cost: Cost, in_flight: int) -> float | None:
        """None where the request may come in, or the seconds after which to come again."""
        limit = self.limits.in_flight
        if limit is not None and in_flight >= max(1, round(limit * self.factor)):
            return 0.0
        amounts = self._amounts(cost)
        buckets = self._filled(now)
        wait_s = max((bucket.wait_s(amounts[name]) for name, bucket in buckets.items()), default=0.0)
        if wait_s > 0:
            return wait_s
        for name, bucket in buckets.items():
            bucket.level -= amounts[name]
        return None

    def headers(self, now: float, wall: datetime) -> Mapping[str, str]:
        """What is left, in the provider's own words."""
        said: dict[str, str] = {}
        for name, bucket in self._filled(now).items():
            empty_s = (bucket.size - bucket.level) / bucket.rate
            said |= _STYLES[self.limits.style](name, bucket, empty_s, wall)
        return said

    def _build(self) -> None:
        rates = {
            "requests": self.limits.requests,
            "tokens": self.limits.tokens,
            "input-tokens": self.limits.input_tokens,
            "output-tokens": self.limits.output_tokens,
        }
        self._buckets = {
            name: _Bucket(rate * self.factor, self.limits.burst_s) for name, rate in rates.items() if rate is not None
        }

    def _filled(self, now: float) -> dict[str, _Bucket]:
        for bucket in self._buckets.values():
            bucket.fill(now)
        return self._buckets

    @staticmethod
    def _amounts(cost: Cost) -> Mapping[str, float]:
        return {
            "requests": 1.0,
            "tokens": float(cost.input_tokens + cost.most_output_tokens),
            "input-tokens": float(cost.input_tokens),
            "output-tokens": float(cost.output_tokens),
        }


def go_duration(seconds: float) -> str:
    """As OpenAI writes how long until a limit is reset: `1m30s`, `7.66s`, `12ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, MINUTE_S)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.3g}s"


def _openai(name: str, bucket: _Bucket, full_in_s: float, _wall: datetime) -> Mapping[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(round(bucket.per_minute)),
        f"x-ratelimit-remaining-{name}": str(max(0, int(bucket.level))),
        f"x-ratelimit-reset-{name}": go_duration(full_in_s),
    }


def _anthropic(name: str, bucket: _Bucket, full_in_s: float, wall: datetime) -> Mapping[str, str]:
    moment = (wall + timedelta(seconds=full_in_s)).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        f"anthropic-ratelimit-{name}-limit": str(round(bucket.per_minute)),
        f"anthropic-ratelimit-{name}-remaining": str(max(0, int(bucket.level))),
        f"anthropic-ratelimit-{name}-reset": moment,
    }


_STYLES = {"openai": _openai, "anthropic": _anthropic}
