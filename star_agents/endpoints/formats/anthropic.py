"""Anthropic's wire format, Messages. Laws: `endpoints.formats.protocol`.

Wire reference: Anthropic's "Messages" and "Streaming messages", version 2023-06-01. vLLM serves the same under
`/v1/messages`. The API has neither a random seed nor log probabilities, and refuses fields that it does not know.
"""

from collections.abc import Mapping
from typing import Any

from star_agents.core.calls import Completion, FinishReason, Request, Usage
from star_agents.core.errors import (
    CallError,
    ConnectionLostError,
    EmptyReplyError,
    FilteredReplyError,
    ReasoningOnlyError,
    UnreadableReplyError,
)
from star_agents.endpoints.formats.anthropic_stream import MessageAssembler
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

VERSION = "2023-06-01"

_FINISHED: Mapping[str, FinishReason] = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.TOOL_CALLS,
}
"""Anything else (`end_turn`, `stop_sequence`) is the model's own end."""
_BROKEN_OFF = "pause_turn"
"""A long turn put on hold, to be gone on with by a further request that we never send."""
_AS_ASKED = Sampling()


class _Messages:
    """See `WireFormat`."""

    path = "/messages"

    def headers(self, spec: EndpointSpec) -> dict[str, str]:
        """See `WireFormat`."""
        return {"anthropic-version": VERSION, **key_header(spec, "x-api-key")}

    def encode(self, request: Request, spec: EndpointSpec, sampling: Sampling = _AS_ASKED) -> bytes:
        """See `WireFormat`. System turns go apart; a further sample differs by chance alone."""
        params = request.params
        turns = [{"role": turn.role, "content": turn.content} for turn in request.messages if turn.role != "system"]
        body: dict[str, Any] = {
            "model": spec.model,
            "max_tokens": sampling.max_tokens or params.max_tokens,
            "messages": turns,
        }
        if len(turns) < len(request.messages):
            body["system"] = "\n\n".join(turn.content for turn in request.messages if turn.role == "system")
        if params.temperature is not None:
            body["temperature"] = params.temperature
        if params.top_p is not None:
            body["top_p"] = params.top_p
        if params.stop:
            body["stop_sequences"] = list(params.stop)
        if spec.stream:
            body["stream"] = True
        body.update(spec.extra_body)
        return dump_json(body)

    def decode(self, raw: RawReply, request: Request, spec: EndpointSpec) -> Completion:
        """See `WireFormat`."""
        payload = payload_of(raw, spec)
        blocks = payload.get("content")
        if not isinstance(blocks, list):
            raise UnreadableReplyError(f"endpoint {spec.name}: a reply without content")
        text, reasoning = _joined(blocks, "text"), _joined(blocks, "thinking") or None
        usage = _usage(payload.get("usage"), request, len(text) + len(reasoning or ""))
        stop = text_of(payload.get("stop_reason"))
        if raw.is_cut:
            raise costing(cut_off(spec), usage)
        if stop == _BROKEN_OFF:
            raise costing(ConnectionLostError(f"endpoint {spec.name}: the server put the turn on hold"), usage)
        finish_reason = _FINISHED.get(stop or "", FinishReason.STOP)
        if not text.strip():
            raise costing(_nothing_said(finish_reason, reasoning, spec), usage)
        return Completion(
            text=text,
            finish_reason=finish_reason,
            usage=usage,
            model=spec.label or text_of(payload.get("model")) or spec.model,
            endpoint=spec.name,
            latency_s=raw.latency_s,
            reasoning=reasoning,
        )

    def assembler(self, spec: EndpointSpec) -> Assembler:
        """See `WireFormat`."""
        return MessageAssembler(spec)


MESSAGES = _Messages()


def _joined(blocks: list[Any], kind: str) -> str:
    """What the blocks of one kind say, each in the field of its kind's name."""
    texts = [block.get(kind) for block in blocks if isinstance(block, dict) and block.get("type") == kind]
    return repaired("".join(text for text in texts if isinstance(text, str)))


def _nothing_said(finish_reason: FinishReason, reasoning: str | None, spec: EndpointSpec) -> CallError:
    who = f"endpoint {spec.name}"
    if finish_reason is FinishReason.CONTENT_FILTER:
        return FilteredReplyError(f"{who}: the model refused")
    if reasoning:
        return ReasoningOnlyError(f"{who}: the model thought, and did not answer")
    return EmptyReplyError(f"{who}: an empty answer")


def _usage(usage: object, request: Request, written: int) -> Usage:
    """The tokens the server counted, or an estimate that says so. What came from a cache is input like any other."""
    if not isinstance(usage, dict):
        return estimated_usage(request, written)
    prompt, answer = count_of(usage.get("input_tokens")), count_of(usage.get("output_tokens"))
    if prompt is None or answer is None:
        return estimated_usage(request, written)
    read, made = (count_of(usage.get(f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    return Usage(prompt + (read or 0) + (made or 0), answer, cached_tokens=read)
