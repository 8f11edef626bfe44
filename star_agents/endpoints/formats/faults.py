"""From what a server says went wrong to an error of ours.

Law: the class is chosen by HTTP status and by the codes, types and fields of the error object, never by the
words of a message, which change from one release to the next. The tables hold what OpenAI, Azure, Anthropic,
Gemini, OpenRouter, vLLM, SGLang, llama.cpp, TGI and `transformers serve` are known to send.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    CallError,
    ContextOverflowError,
    EndpointError,
    FilteredReplyError,
    MisdirectedError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitedError,
)
from star_agents.endpoints.formats.wire import RawReply, excerpt, load_json, repaired
from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.retry_after import parse_retry_after

_BY_NAME: Mapping[str, type[CallError]] = {
    "insufficient_quota": QuotaExhaustedError,
    "billing_hard_limit_reached": QuotaExhaustedError,
    "billing_not_active": QuotaExhaustedError,
    "billing_error": QuotaExhaustedError,
    "insufficient_balance": QuotaExhaustedError,
    "rate_limit_exceeded": RateLimitedError,
    "rate_limit_error": RateLimitedError,
    "rate_limited": RateLimitedError,
    "too_many_requests": RateLimitedError,
    "resource_exhausted": RateLimitedError,
    "context_length_exceeded": ContextOverflowError,
    "exceed_context_size_error": ContextOverflowError,
    "request_too_large": ContextOverflowError,
    "string_above_max_length": ContextOverflowError,
    "model_max_prompt_tokens_exceeded": ContextOverflowError,
    "invalid_api_key": AuthFailedError,
    "authentication_error": AuthFailedError,
    "permission_error": AuthFailedError,
    "permission_denied": AuthFailedError,
    "unauthenticated": AuthFailedError,
    "model_not_found": MisdirectedError,
    "deploymentnotfound": MisdirectedError,
    "not_found_error": MisdirectedError,
    "notfounderror": MisdirectedError,
    "not_found": MisdirectedError,
    "content_filter": FilteredReplyError,
    "content_policy_violation": FilteredReplyError,
    "responsibleaipolicyviolation": FilteredReplyError,
    "overloaded_error": OverloadedError,
    "overloaded": OverloadedError,
    "unavailable_error": OverloadedError,
    "unavailable": OverloadedError,
    "api_error": OverloadedError,
    "timeout_error": OverloadedError,
    "server_error": OverloadedError,
    "internal": OverloadedError,
    "deadline_exceeded": OverloadedError,
    "internalservererror": OverloadedError,
    "invalid_request_error": BadRequestError,
    "invalid_argument": BadRequestError,
    "badrequesterror": BadRequestError,
    "validation": BadRequestError,
}
"""Codes, types and statuses of error objects, in lower case; the first that is known decides."""

_OVERFLOW_PARAMS = frozenset(("input_tokens", "max_tokens", "max_completion_tokens"))
"""vLLM gives no code of its own for a full context, but names the field it checked."""

_BY_STATUS: Mapping[int, type[CallError]] = {
    401: AuthFailedError,
    402: QuotaExhaustedError,
    403: AuthFailedError,
    404: MisdirectedError,
    405: MisdirectedError,
    407: AuthFailedError,
    408: OverloadedError,
    409: OverloadedError,
    410: MisdirectedError,
    425: OverloadedError,
    429: RateLimitedError,
}

_QUOTED = 4096
"""Bytes of a body that are looked at for words to quote."""
_MAX_ID = 64

_SPECIFIC = frozenset((QuotaExhaustedError, ContextOverflowError, FilteredReplyError))
"""What an error object says more exactly than any status does; of anything else a bad status knows better."""


def error_object(payload: object) -> Mapping[str, Any] | None:
    """The error in a reply's JSON, in the shapes servers wrap it in, or None where there is none."""
    if isinstance(payload, list) and payload:  # Gemini
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:  # TGI puts its type beside it
        return {"message": error, "type": payload.get("error_type")}
    if payload.get("object") == "error":  # Mistral, SGLang
        return payload
    return {"message": payload["detail"]} if "detail" in payload else None  # FastAPI


def error_of_status(raw: RawReply, spec: EndpointSpec) -> CallError:
    """The error that a reply with a bad status is."""
    try:
        error = error_object(load_json(raw.body)) or {}
    except ValueError:
        error = {}
    named = _by_name(error)
    kind = _by_status(raw.status)
    if named in _SPECIFIC or (kind is BadRequestError and named is not None):
        kind = named
    return _build(kind, raw, spec, error)


def error_in_band(error: Mapping[str, Any], raw: RawReply, spec: EndpointSpec) -> CallError:
    """The error that an error object under a good status is."""
    code = error.get("code")
    kind = _by_name(error)
    if kind is None:
        kind = _by_status(code) if isinstance(code, int) and code >= 300 else OverloadedError  # noqa: PLR2004  # a status
    return _build(kind, raw, spec, error)


def _by_name(error: Mapping[str, Any]) -> type[CallError] | None:
    names = [str(error.get(key) or "").lower() for key in ("code", "type", "status")]
    kind = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    if kind in {None, BadRequestError} and str(error.get("param")) in _OVERFLOW_PARAMS:
        return ContextOverflowError
    details = error.get("metadata")
    if kind is None and isinstance(details, dict) and "flagged_input" in details:  # OpenRouter, under 403
        return FilteredReplyError
    return kind


def _by_status(status: int) -> type[CallError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:  # noqa: PLR2004
        return OverloadedError
    return BadRequestError if status >= 400 else MisdirectedError  # noqa: PLR2004  # a redirect is not followed


def _build(kind: type[CallError], raw: RawReply, spec: EndpointSpec, error: Mapping[str, Any]) -> CallError:
    if kind is AuthFailedError:  # the server's own words may quote a part of the key
        return AuthFailedError(f"endpoint {spec.name}: HTTP {raw.status}: {_rejected(raw, spec)}")
    words = error.get("message")
    text = words if isinstance(words, str) else raw.body[:_QUOTED].decode("utf-8", "replace")
    said = excerpt(spec.masked(repaired(text)))
    message = f"endpoint {spec.name}: HTTP {raw.status}: {said}{_named(raw, spec)}"
    if kind is RateLimitedError:
        return RateLimitedError(message, retry_after_s=_retry_after(raw))
    wish = raw.headers.get("x-should-retry")
    if kind is OverloadedError and wish == "false":
        return EndpointError(message)
    if kind is OverloadedError or (kind is BadRequestError and wish == "true"):
        said_when = "retry-after" in raw.headers or "retry-after-ms" in raw.headers
        return OverloadedError(message, retry_after_s=_retry_after(raw) if said_when else None)
    return kind(message)


def _rejected(raw: RawReply, spec: EndpointSpec) -> str:
    if raw.status == 407:  # noqa: PLR2004
        return "the proxy rejects its credentials"
    return f"the key is rejected ({spec.api_key.origin if spec.api_key else 'none is configured'})"


def _named(raw: RawReply, spec: EndpointSpec) -> str:
    """The name under which the server's own people can find the request, in brackets."""
    name = excerpt(spec.masked(raw.request_id))[:_MAX_ID]
    return f" [request {name}]" if name else ""


def _retry_after(raw: RawReply) -> float | None:
    return parse_retry_after(raw.headers, datetime.fromisoformat(raw.wall))
