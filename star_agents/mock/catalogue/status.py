"""Section B of the faults: statuses, rate limits, and errors under a good status."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from star_agents.mock.catalogue.kind import Kind, plain
from star_agents.mock.faults import Fault, failing, saying
from star_agents.mock.limits import go_duration

_SLOW_DOWN = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
LIMITED = failing(429, _SLOW_DOWN)
OUT_OF_QUOTA = failing(429, {"message": "pay first", "type": "insufficient_quota", "code": "insufficient_quota"})
TOO_LONG = failing(400, {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"})
_TOO_LONG_VLLM = failing(
    400, {"message": "too many input tokens", "type": "BadRequestError", "param": "input_tokens", "code": 400}
)
BAD_REQUEST = failing(400, {"message": "no such field", "type": "invalid_request_error", "code": None})
NO_MODEL = failing(404, {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"})
HTML = Fault(
    name="html", headers={"content-type": "text/html"}, body=b"<html><body>Sign in to the network</body></html>"
)
NOTHING = saying("empty_body", b"")

ERRORS_INSIDE: Mapping[str, object] = {
    "openai": {"error": {"message": "engine died", "type": "server_error", "code": 500}},
    "vllm": {"error": {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": [{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}],
    "openrouter": {"error": {"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "x"}}},
    "mistral": {"object": "error", "message": "Service unavailable", "type": "server_error", "code": "3000"},
    "tgi": {"error": "Model is overloaded", "error_type": "overloaded"},
    "llamacpp": {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
}
"""What providers put under a 200."""
ERROR_INSIDE = saying("error_inside", ERRORS_INSIDE["openai"])


def _error_inside(argument: str) -> Fault:
    if argument not in ERRORS_INSIDE:
        raise ValueError(f"a provider of: {', '.join(ERRORS_INSIDE)}")
    return saying("error_inside", ERRORS_INSIDE[argument])


def _stamped(stamps: Callable[[datetime, float], Mapping[str, str]]) -> Callable[[str], Fault]:
    """A 429 whose headers are made when it is sent, from the wall clock and the argument in seconds."""

    def make(argument: str) -> Fault:
        wait_s = float(argument)
        return replace(LIMITED, stamps=lambda now: stamps(now, wait_s))

    return make


def _iso(now: datetime, wait_s: float) -> str:
    return (now + timedelta(seconds=wait_s)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _date(now: datetime, wait_s: float) -> str:
    return format_datetime((now + timedelta(seconds=wait_s)).astimezone(UTC), usegmt=True)


_RETRY_FORMS: Mapping[str, tuple[str, Callable[[datetime, float], Mapping[str, str]]]] = {
    "http_429_ms": ("retry-after-ms", lambda _, wait_s: {"retry-after-ms": str(round(wait_s * 1000))}),
    "http_429_date": ("retry-after as an HTTP date", lambda now, wait_s: {"retry-after": _date(now, wait_s)}),
    "http_429_duration": (
        "x-ratelimit-reset-requests and -tokens as 1m30s",
        lambda _, wait_s: {
            "x-ratelimit-reset-requests": go_duration(wait_s),
            "x-ratelimit-reset-tokens": go_duration(wait_s / 2),
        },
    ),
    "http_429_epoch": (
        "x-ratelimit-reset in Unix milliseconds, as OpenRouter",
        lambda now, wait_s: {"x-ratelimit-reset": str(round((now.timestamp() + wait_s) * 1000))},
    ),
    "http_429_anthropic": (
        "anthropic-ratelimit-*-reset as moments",
        lambda now, wait_s: {
            "anthropic-ratelimit-requests-reset": _iso(now, 0),
            "anthropic-ratelimit-input-tokens-reset": _iso(now, wait_s),
        },
    ),
}
"""By name of the fault: where the wait of ARG seconds is said."""


def _limited(argument: str) -> Fault:
    return replace(LIMITED, headers={"retry-after": argument})


def _with_status(status: int) -> Callable[[str], Fault]:
    return lambda argument: failing(status, retry_after=argument) if argument else failing(status)


def _x_should_retry(argument: str) -> Fault:
    return failing(500, x_should_retry="false") if argument == "false" else failing(400, x_should_retry="true")


def _named(name: str, fault: Fault) -> Fault:
    return replace(fault, name=name)


_STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("F-21", "the key is wrong"),
    402: ("F-20", "pay first"),
    403: ("F-21", "the key may not"),
    404: ("F-22", "wrong path"),
    408: ("F-25", "request timeout"),
    409: ("F-25", "conflict"),
    413: ("F-24", "the request is too large"),
    422: ("F-24", "the request cannot be processed"),
    500: ("F-25", "internal error"),
    502: ("F-25", "bad gateway"),
    503: ("F-25", "unavailable"),
    504: ("F-25", "gateway timeout"),
    529: ("F-25", "overloaded, as Anthropic says it"),
}

KINDS = (
    Kind("http_429", "F-16 F-17", "429 with retry-after: ARG, whatever it says", _limited, "0.2"),
    plain(_named("http_429_plain", LIMITED), "F-18", "429 and no word of when to come back"),
    *(
        Kind(name, "F-17", f"429 with ARG s in {where}", _stamped(stamps), "1")
        for name, (where, stamps) in _RETRY_FORMS.items()
    ),
    plain(_named("quota", OUT_OF_QUOTA), "F-20", "429 insufficient_quota: waiting does not mend it"),
    *(
        Kind(f"http_{status}", row, f"{status}, {does}; ARG is a retry-after", _with_status(status))
        for status, (row, does) in _STATUSES.items()
    ),
    plain(_named("no_model", NO_MODEL), "F-22", "404 model_not_found"),
    plain(_named("too_long", TOO_LONG), "F-23", "400 context_length_exceeded"),
    plain(_named("too_long_vllm", _TOO_LONG_VLLM), "F-23", "400 as vLLM says that the context is full"),
    plain(_named("http_400", BAD_REQUEST), "F-24", "400: this request and no other is refused"),
    Kind(
        "should_retry", "F-25", "500 with x-should-retry: false; with ARG true, 400 and true", _x_should_retry, "false"
    ),
    Kind("error_inside", "F-28", f"200 with an error in it, of {', '.join(ERRORS_INSIDE)}", _error_inside, "openai"),
    plain(HTML, "F-29", "200 with the page of a captive portal"),
    plain(NOTHING, "F-29", "200 with an empty body"),
)
