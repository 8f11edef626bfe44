"""Replies, streams and errors as OpenAI's API has them, chat and text completions.

Source: the OpenAI API reference, and what vLLM 0.32 sends.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from star_agents.mock.answers import Answer
from star_agents.mock.dialect import Asked, Dialect, Event, Json
from star_agents.mock.logprobs import chat_logprobs, text_logprobs

CREATED = 1_700_000_000
"""Every reply was made at the same second, so that the same request has the same reply."""

DONE = Event("[DONE]")


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
