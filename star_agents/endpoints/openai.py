"""OpenAI's wire format, chat and plain completions, without I/O: requests to bytes, replies to records.

Laws: a reply becomes a `Completion` with text in it, or an error of `core.errors`, and nothing else whatever
the bytes are; reasoning is kept apart and never becomes the answer; nothing that a model asks for is run.

Wire reference: OpenAI's "Create chat completion" and "Create completion"; what other servers do differently
is said where it is dealt with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from star_agents.core.calls import (
    Completion,
    FinishReason,
    Message,
    Request,
    Usage,
)
from star_agents.core.errors import (
    ConnectionLostError,
    EmptyReplyError,
    FilteredReplyError,
    ReasoningOnlyError,
    UnreadableReplyError,
)
from star_agents.endpoints.faults import error_in_band, error_object, error_of_status
from star_agents.endpoints.spec import Api, EndpointSpec
from star_agents.endpoints.wire import RawReply, dump_json, excerpt, load_json, repaired

PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
CHARS_PER_TOKEN = 4
"""A rough measure for prompts to pace by, and for replies that come without usage."""
MAX_SEED = 2**31 - 1
"""Seeds are sent within the range that every server takes."""

_FINISHED: Mapping[str, FinishReason] = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}
"""Anything else means that the model came to its own end (`stop`, `eos_token`, `end_turn`, null ...)."""
_BROKEN_OFF = frozenset(("abort", "error"))
"""vLLM, SGLang and OpenRouter end a reply so when the server, not the model, broke it off."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one send differs from the request as it stands: a new sample, or a larger budget."""

    sample: int = 0
    max_tokens: int | None = None


def encode(request: Request, spec: EndpointSpec, sampling: Sampling = Sampling()) -> bytes:
    """The body to send. A further sample has a seed of its own; `extra_body` has the last word."""
    params = request.params
    body: dict[str, Any] = {"model": spec.model, spec.max_tokens_field: sampling.max_tokens or params.max_tokens}
    if spec.api == "chat":
        body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
    else:
        body["prompt"] = flattened(request.messages)
    if params.temperature is not None:
        body["temperature"] = params.temperature
    if params.top_p is not None:
        body["top_p"] = params.top_p
    if params.stop:
        body["stop"] = list(params.stop)
    if spec.send_seed:
        body["seed"] = (request.random_seed + sampling.sample) & MAX_SEED
    return dump_json({**body, **spec.extra_body})


def flattened(messages: Sequence[Message]) -> str:
    """One prompt for a base model: the turns' texts, a blank line between them, ready to be continued."""
    return "\n\n".join(turn.content for turn in messages) + "\n\n"


def estimated_tokens(request: Request, sampling: Sampling) -> int:
    """About how many tokens a call will use at most, prompt and answer together; for pacing only."""
    characters = sum(len(turn.content) for turn in request.messages)
    return characters // CHARS_PER_TOKEN + (sampling.max_tokens or request.params.max_tokens)


def decode(raw: RawReply, request: Request, spec: EndpointSpec) -> Completion:
    """The reply as a record; its text is not empty.

    Raises:
        EndpointError: the server says that it did not serve the request.
        ReplyError: it did, and the reply is of no use.
    """
    if raw.status != 200:  # noqa: PLR2004
        raise error_of_status(raw, spec)
    who = f"endpoint {spec.name}"
    payload = _payload(raw, spec)
    choice = _first_choice(payload, who)
    text, reasoning = _text_of(choice, spec.api)
    finish = choice.get("finish_reason")
    if finish in _BROKEN_OFF:
        raise ConnectionLostError(f"{who}: the server broke the reply off ({finish})")
    finish_reason = _FINISHED.get(finish, FinishReason.STOP) if isinstance(finish, str) else FinishReason.STOP
    if not text.strip():
        raise _nothing_said(choice, finish_reason, reasoning, who)
    model = spec.label or payload.get("model")
    return Completion(
        text=text,
        finish_reason=finish_reason,
        usage=_usage(payload.get("usage"), request, text),
        model=model if isinstance(model, str) and model else spec.model,
        endpoint=spec.name,
        latency_s=raw.latency_s,
        reasoning=reasoning,
    )


def _payload(raw: RawReply, spec: EndpointSpec) -> dict[str, Any]:
    try:
        payload = load_json(raw.body)
    except ValueError:
        found = excerpt(raw.body.decode("utf-8", "replace"), spec.api_key) or "nothing"
        raise UnreadableReplyError(f"endpoint {spec.name}: a reply that is not JSON: {found}") from None
    error = error_object(payload)
    if error is not None:
        raise error_in_band(error, raw, spec)
    if not isinstance(payload, dict):
        raise UnreadableReplyError(f"endpoint {spec.name}: a reply that is no JSON object")
    return payload


def _first_choice(payload: dict[str, Any], who: str) -> dict[str, Any]:
    choices = payload.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    if payload.get("prompt_filter_results") or payload.get("promptFeedback"):  # Azure, Gemini
        raise FilteredReplyError(f"{who}: the prompt was filtered")
    raise UnreadableReplyError(f"{who}: a reply without choices")


def _text_of(choice: dict[str, Any], api: Api) -> tuple[str, str | None]:
    """What was said, and what was only thought."""
    if api == "completions":
        return _joined(choice.get("text")), None
    message = choice.get("message")
    if not isinstance(message, dict):
        return "", None
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return _joined(message.get("content")), _joined(reasoning) or None


def _joined(content: object) -> str:
    """The text of a content that may be a string, a list of typed parts, or null."""
    if isinstance(content, str):
        return repaired(content)
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return repaired("".join(text for text in texts if isinstance(text, str)))


def _nothing_said(
    choice: dict[str, Any], finish_reason: FinishReason, reasoning: str | None, who: str
) -> EmptyReplyError | FilteredReplyError:
    message = choice.get("message")
    is_refusal = isinstance(message, dict) and bool(message.get("refusal"))
    if is_refusal or finish_reason is FinishReason.CONTENT_FILTER:
        return FilteredReplyError(f"{who}: the model refused, or the answer was filtered")
    if reasoning:
        return ReasoningOnlyError(f"{who}: the model thought, and did not answer")
    return EmptyReplyError(f"{who}: an empty answer")


def _usage(usage: object, request: Request, text: str) -> Usage:
    """The tokens the server counted, or an estimate that says so."""
    if isinstance(usage, dict):
        used, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if _is_count(used) and _is_count(written):
            details = usage.get("completion_tokens_details")
            reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
            return Usage(used, written, reasoning if _is_count(reasoning) else None)
    prompt = sum(len(turn.content) for turn in request.messages)
    return Usage(-(-prompt // CHARS_PER_TOKEN), -(-len(text) // CHARS_PER_TOKEN), is_estimated=True)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def served_models(raw: RawReply) -> tuple[str, ...] | None:
    """The ids in a reply to `GET /models`, or None where it is not such a list."""
    if raw.status != 200:  # noqa: PLR2004
        return None
    try:
        payload = load_json(raw.body)
    except ValueError:
        return None
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, list):
        return None
    return tuple(item["id"] for item in data if isinstance(item, dict) and isinstance(item.get("id"), str))
