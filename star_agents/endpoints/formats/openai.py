"""OpenAI's wire formats, chat and plain completions. Laws: `endpoints.formats.protocol`.

Wire reference: OpenAI's "Create chat completion" and "Create completion"; what other servers do differently
is said where it is dealt with.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from star_agents.core.calls import Completion, FinishReason, Message, Request, Usage
from star_agents.core.errors import (
    CallError,
    ConnectionLostError,
    EmptyReplyError,
    FilteredReplyError,
    ReasoningOnlyError,
    UnreadableReplyError,
)
from star_agents.endpoints.formats import choices
from star_agents.endpoints.formats.choices import Token
from star_agents.endpoints.formats.openai_logprobs import chat_tokens, plain_tokens
from star_agents.endpoints.formats.openai_stream import ChatAssembler, PlainAssembler
from star_agents.endpoints.formats.protocol import (
    Assembler,
    Sampling,
    costing,
    count_of,
    cut_off,
    estimated_usage,
    key_header,
    payload_of,
    text_of,
)
from star_agents.endpoints.formats.wire import RawReply, dump_json, repaired
from star_agents.endpoints.spec import EndpointSpec

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
_AS_ASKED = Sampling()


class _OpenAI(ABC):
    """What both formats share."""

    path: str
    is_chat: bool

    @abstractmethod
    def prompt(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        """The field of a body that holds what is asked."""

    @abstractmethod
    def said(self, choice: Mapping[str, Any]) -> tuple[str, str | None]:
        """What was said, and what was only thought."""

    @abstractmethod
    def tokens(self, logprobs: object) -> tuple[Token, ...]:
        """The tokens of a reply, where it tells them."""

    @abstractmethod
    def assembler(self, spec: EndpointSpec) -> Assembler:
        """See `WireFormat`."""

    def headers(self, spec: EndpointSpec) -> dict[str, str]:
        """See `WireFormat`."""
        return key_header(spec, "Authorization")

    def encode(self, request: Request, spec: EndpointSpec, sampling: Sampling = _AS_ASKED) -> bytes:
        """See `WireFormat`."""
        params = request.params
        body: dict[str, Any] = {"model": spec.model, spec.max_tokens_field: sampling.max_tokens or params.max_tokens}
        body.update(self.prompt(request.messages))
        if params.temperature is not None:
            body["temperature"] = params.temperature
        if params.top_p is not None:
            body["top_p"] = params.top_p
        if params.stop:
            body["stop"] = list(params.stop)
        if spec.send_seed:
            body["seed"] = (request.random_seed + sampling.sample) & MAX_SEED
        if spec.stream:
            body.update(stream=True, stream_options={"include_usage": True})
        if request.choices:
            body.update(choices.asked(spec.choices, request.choices, is_chat=self.is_chat))
        body.update(spec.extra_body)
        return dump_json(body)

    def decode(self, raw: RawReply, request: Request, spec: EndpointSpec) -> Completion:
        """See `WireFormat`."""
        payload = payload_of(raw, spec)
        choice = _first_choice(payload, raw, spec)
        text, reasoning = self.said(choice)
        usage = _usage(payload.get("usage"), request, len(text) + len(reasoning or ""))
        finish = text_of(choice.get("finish_reason"))
        if raw.is_cut:
            raise costing(cut_off(spec), usage)
        if finish in _BROKEN_OFF:
            lost = ConnectionLostError(f"endpoint {spec.name}: the server broke the reply off ({finish})")
            raise costing(lost, usage)
        finish_reason = _FINISHED.get(finish or "", FinishReason.STOP)
        if not text.strip():
            raise costing(_nothing_said(choice, finish_reason, reasoning, spec), usage)
        choice_p = None
        if request.choices:
            choice_p = choices.probabilities(text, self.tokens(choice.get("logprobs")), request.choices)
            text = choices.unwrapped(text)
        return Completion(
            text=text,
            finish_reason=finish_reason,
            usage=usage,
            model=spec.label or text_of(payload.get("model")) or spec.model,
            endpoint=spec.name,
            latency_s=raw.latency_s,
            reasoning=reasoning,
            choice_p=choice_p,
            fingerprint=text_of(payload.get("system_fingerprint")),
        )


class _Chat(_OpenAI):
    path = "/chat/completions"
    is_chat = True

    def prompt(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        return {"messages": [{"role": turn.role, "content": turn.content} for turn in messages]}

    def said(self, choice: Mapping[str, Any]) -> tuple[str, str | None]:
        message = choice.get("message")
        if not isinstance(message, dict):
            return "", None
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        return _joined(message.get("content")), _joined(reasoning) or None

    def tokens(self, logprobs: object) -> tuple[Token, ...]:
        return chat_tokens(logprobs)

    def assembler(self, spec: EndpointSpec) -> Assembler:
        return ChatAssembler(spec)


class _Completions(_OpenAI):
    path = "/completions"
    is_chat = False

    def prompt(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        """One prompt for a base model: the turns' texts, a blank line between them, ready to be continued."""
        return {"prompt": "\n\n".join(turn.content for turn in messages) + "\n\n"}

    def said(self, choice: Mapping[str, Any]) -> tuple[str, str | None]:
        return _joined(choice.get("text")), None

    def tokens(self, logprobs: object) -> tuple[Token, ...]:
        return plain_tokens(logprobs)

    def assembler(self, spec: EndpointSpec) -> Assembler:
        return PlainAssembler(spec)


CHAT = _Chat()
COMPLETIONS = _Completions()


def _first_choice(payload: Mapping[str, Any], raw: RawReply, spec: EndpointSpec) -> Mapping[str, Any]:
    """The choice with index 0, or the first of those that say no index."""
    listed = payload.get("choices")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        first = listed[0]
        if not first.get("index"):
            return first
        return next((one for one in listed if isinstance(one, dict) and one.get("index") == 0), first)
    if payload.get("prompt_filter_results") or payload.get("promptFeedback"):  # Azure, Gemini
        raise FilteredReplyError(f"endpoint {spec.name}: the prompt was filtered")
    if raw.is_cut:
        raise cut_off(spec)
    raise UnreadableReplyError(f"endpoint {spec.name}: a reply without choices")


def _joined(content: object) -> str:
    """The text of a content that may be a string, a list of typed parts, or null."""
    if isinstance(content, str):
        return repaired(content)
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return repaired("".join(text for text in texts if isinstance(text, str)))


def _nothing_said(
    choice: Mapping[str, Any], finish_reason: FinishReason, reasoning: str | None, spec: EndpointSpec
) -> CallError:
    message, who = choice.get("message"), f"endpoint {spec.name}"
    is_refusal = isinstance(message, dict) and bool(message.get("refusal"))
    if is_refusal or finish_reason is FinishReason.CONTENT_FILTER:
        return FilteredReplyError(f"{who}: the model refused, or the answer was filtered")
    if reasoning:
        return ReasoningOnlyError(f"{who}: the model thought, and did not answer")
    return EmptyReplyError(f"{who}: an empty answer")


def _usage(usage: object, request: Request, written: int) -> Usage:
    """The tokens the server counted, or an estimate that says so."""
    if not isinstance(usage, dict):
        return estimated_usage(request, written)
    prompt, answer = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    if prompt is None or answer is None:
        return estimated_usage(request, written)
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    if reasoning and usage.get("total_tokens") == prompt + answer + reasoning:  # xAI and Gemini count it beside
        answer += reasoning
    return Usage(prompt, answer, reasoning, cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"))


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return count_of(details.get(name)) if isinstance(details, dict) else None
