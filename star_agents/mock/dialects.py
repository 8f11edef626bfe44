"""The three APIs that are spoken: what a reply, a stream and an error look like in each.

Law: whole or streamed, in every dialect, the same `Answer` says the same. Nothing here is drawn or timed.
Sources: the OpenAI API reference (chat, completions), the Anthropic API reference (messages), and what vLLM 0.32
sends for each.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from star_agents.mock.answers import Answer
from star_agents.mock.logprobs import chat_logprobs, text_logprobs

CREATED = 1_700_000_000
"""Every reply was made at the same second, so that the same request has the same reply."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; `data` is JSON, or a text that is sent as it is. Tokens are paced, the rest is not."""

    data: Json | str
    name: str | None = None
    is_token: bool = False


DONE = Event("[DONE]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request shapes the reply to it."""

    model: str
    name: str
    """The fingerprint: replies are called after it."""
    streams: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None


class Dialect(ABC):
    """How one API writes down answers."""

    @abstractmethod
    def asked(self, body: Mapping[str, Any], name: str) -> Asked:
        """Read a request."""

    @abstractmethod
    def reply(self, said: Answer, asked: Asked) -> Json:
        """The answer whole."""

    @abstractmethod
    def events(self, said: Answer, asked: Asked) -> Iterator[Event]:
        """The answer as a stream."""

    @abstractmethod
    def token_event(self, token: str, asked: Asked) -> Event:
        """A piece of the text of a stream."""

    @abstractmethod
    def error(self, status: int, error: Mapping[str, Any]) -> Json:
        """The body of a bad status; `error` is as OpenAI writes it."""


def usage_of(said: Answer) -> Json:
    """As OpenAI counts."""
    usage: Json = {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }
    if said.reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(said.reasoning.split())}
    return usage


class _OpenAI(Dialect):
    kind: str

    def asked(self, body: Mapping[str, Any], name: str) -> Asked:
        """See `Dialect`."""
        options = body.get("stream_options")
        return Asked(
            model=str(body.get("model")),
            name=name,
            streams=bool(body.get("stream")),
            include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
            top_logprobs=self._top(body),
        )

    @abstractmethod
    def _top(self, body: Mapping[str, Any]) -> int | None:
        """How many alternatives to each token are asked for, or None where no logprobs are."""

    def error(self, _status: int, error: Mapping[str, Any]) -> Json:
        """See `Dialect`."""
        return {"error": dict(error)}

    def _shell(self, asked: Asked, kind: str, choices: list[Json]) -> Json:
        name = f"mock-{asked.name}"
        return {"id": name, "object": kind, "created": CREATED, "model": asked.model, "choices": choices}

    def _tail(self, said: Answer, asked: Asked) -> Iterator[Event]:
        if asked.include_usage:
            yield Event({**self._shell(asked, self.kind, []), "usage": usage_of(said)})
        yield DONE


class Chat(_OpenAI):
    """POST /v1/chat/completions."""

    kind = "chat.completion.chunk"

    def _top(self, body: Mapping[str, Any]) -> int | None:
        return int(body.get("top_logprobs") or 0) if body.get("logprobs") else None

    def reply(self, said: Answer, asked: Asked) -> Json:
        """See `Dialect`."""
        choice: Json = {"index": 0, "message": self._message(said), "finish_reason": said.finish_reason}
        if asked.top_logprobs is not None:
            choice["logprobs"] = chat_logprobs(said, asked.top_logprobs, asked.name)
        return {**self._shell(asked, "chat.completion", [choice]), "usage": usage_of(said)}

    def events(self, said: Answer, asked: Asked) -> Iterator[Event]:
        """See `Dialect`."""
        yield self._event({"role": "assistant", "content": ""}, asked)
        if said.reasoning is not None:
            yield self._event({"reasoning_content": said.reasoning}, asked)
        logprobs = chat_logprobs(said, asked.top_logprobs, asked.name) if asked.top_logprobs is not None else None
        for number, token in enumerate(said.tokens if said.text else ()):
            event = self.token_event(token, asked)
            if logprobs and isinstance(event.data, dict):
                event.data["choices"][0]["logprobs"] = {"content": [logprobs["content"][number]]}
            yield event
        extra = {key: value for key, value in self._message(said).items() if key in {"refusal", "tool_calls"} and value}
        yield self._event(extra, asked, said.finish_reason)
        yield from self._tail(said, asked)

    def token_event(self, token: str, asked: Asked) -> Event:
        """See `Dialect`."""
        return Event(self._event({"content": token}, asked).data, is_token=True)

    def _event(self, delta: Json, asked: Asked, finish_reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return Event(self._shell(asked, self.kind, [choice]))

    @staticmethod
    def _message(said: Answer) -> Json:
        is_silent = not said.text and (said.reasoning or said.refusal or said.tool_calls)
        message: Json = {"role": "assistant", "content": None if is_silent else said.text}
        if said.reasoning is not None:
            message["reasoning_content"] = said.reasoning
        if said.refusal is not None:
            message["refusal"] = said.refusal
        if said.tool_calls:
            message["tool_calls"] = [
                {"index": 0, "id": "call_0", "type": "function", "function": dict(said.tool_calls[0])}
            ]
        return message


class Completions(_OpenAI):
    """POST /v1/completions, for base models."""

    kind = "text_completion"

    def _top(self, body: Mapping[str, Any]) -> int | None:
        return None if body.get("logprobs") is None else int(body["logprobs"])

    def reply(self, said: Answer, asked: Asked) -> Json:
        """See `Dialect`."""
        choice: Json = {"index": 0, "text": said.text, "finish_reason": said.finish_reason}
        if asked.top_logprobs is not None:
            choice["logprobs"] = text_logprobs(said, asked.top_logprobs, asked.name)
        return {**self._shell(asked, self.kind, [choice]), "usage": usage_of(said)}

    def events(self, said: Answer, asked: Asked) -> Iterator[Event]:
        """See `Dialect`."""
        for token in said.tokens if said.text else ():
            yield self.token_event(token, asked)
        last: Json = {"index": 0, "text": "", "finish_reason": said.finish_reason}
        if asked.top_logprobs is not None:
            last["logprobs"] = text_logprobs(said, asked.top_logprobs, asked.name)
        yield Event(self._shell(asked, self.kind, [last]))
        yield from self._tail(said, asked)

    def token_event(self, token: str, asked: Asked) -> Event:
        """See `Dialect`."""
        choice = {"index": 0, "text": token, "finish_reason": None}
        return Event(self._shell(asked, self.kind, [choice]), is_token=True)


_STOP_REASONS: Mapping[str | None, str | None] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
    None: None,
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
    def _stop_reason(said: Answer) -> str | None:
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


DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": Chat(),
    "/v1/completions": Completions(),
    "/v1/messages": Messages(),
}
"""By path."""


def chat_reply(body: Mapping[str, Any], said: Answer, name: str = "reply") -> Json:
    """The answer whole, as chat or text completion by the shape of the request."""
    dialect = DIALECTS["/v1/chat/completions" if "messages" in body else "/v1/completions"]
    return dialect.reply(said, dialect.asked(body, name))
