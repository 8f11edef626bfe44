"""Replies, streams and errors as Anthropic's messages API has them.

Source: the Anthropic API reference (messages, streaming, errors).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from star_agents.mock.answers import Answer
from star_agents.mock.dialect import Asked, Dialect, Event, Json

_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}
_ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Messages(Dialect):
    """POST /v1/messages, Anthropic's."""

    def asked(self, body: Mapping[str, Any], name: str) -> Asked:
        """See `Dialect`."""
        return Asked(model=str(body.get("model")), name=name, streams=bool(body.get("stream")))

    def reply(self, said: Answer, asked: Asked) -> Json:
        """See `Dialect`."""
        usage = {"input_tokens": said.prompt_tokens, "output_tokens": said.completion_tokens}
        return self._shell(asked, list(self._blocks(said)), self._stop_reason(said), usage)

    def events(self, said: Answer, asked: Asked) -> Iterator[Event]:
        """See `Dialect`."""
        usage = {"input_tokens": said.prompt_tokens, "output_tokens": 1}
        yield self._event("message_start", message=self._shell(asked, [], None, usage))
        for index, block in enumerate(self._blocks(said)):
            yield from self._block_events(index, block, said, asked)
        delta = {"stop_reason": self._stop_reason(said), "stop_sequence": None}
        yield self._event("message_delta", delta=delta, usage={"output_tokens": said.completion_tokens})
        yield self._event("message_stop")

    def token_event(self, token: str, _asked: Asked, index: int = 0) -> Event:
        """See `Dialect`."""
        delta = {"type": "text_delta", "text": token}
        data = {"type": "content_block_delta", "index": index, "delta": delta}
        return Event(data, "content_block_delta", is_token=True)

    def error(self, status: int, error: Mapping[str, Any]) -> Json:
        """See `Dialect`."""
        kind = _ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.get("message", "")}, "request_id": "req_mock"}

    @staticmethod
    def _stop_reason(said: Answer) -> str:
        return "refusal" if said.refusal else _STOP_REASONS.get(said.finish_reason, said.finish_reason)

    @staticmethod
    def _event(name: str, **fields: Any) -> Event:  # noqa: ANN401  # JSON
        return Event({"type": name, **fields}, name)

    @staticmethod
    def _shell(asked: Asked, content: list[Json], stop_reason: str | None, usage: Json) -> Json:
        head = {"id": f"msg_{asked.name}", "type": "message", "role": "assistant", "model": asked.model}
        return {**head, "content": content, "stop_reason": stop_reason, "stop_sequence": None, "usage": usage}

    @staticmethod
    def _blocks(said: Answer) -> Iterator[Json]:
        if said.reasoning is not None:
            yield {"type": "thinking", "thinking": said.reasoning, "signature": "mock"}
        if said.tool_calls:
            yield {"type": "tool_use", "id": "toolu_mock", "name": said.tool_calls[0]["name"], "input": {}}
        if said.text:
            yield {"type": "text", "text": said.text}

    def _block_events(self, index: int, block: Json, said: Answer, asked: Asked) -> Iterator[Event]:
        kind = block["type"]
        empty = {key: "" if key in {"text", "thinking", "signature"} else value for key, value in block.items()}
        yield self._event("content_block_start", index=index, content_block=empty)
        if kind == "text":
            for token in said.tokens:
                yield self.token_event(token, asked, index)
        elif kind == "thinking":
            delta = {"type": "thinking_delta", "thinking": block["thinking"]}
            yield self._event("content_block_delta", index=index, delta=delta)
        yield self._event("content_block_stop", index=index)
