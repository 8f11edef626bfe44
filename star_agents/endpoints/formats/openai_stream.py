"""Putting the chunks of a streamed OpenAI reply together, into the body that it would have had in one piece.

Laws: only the choice with index 0 is read, and nothing of it after its `finish_reason`; of several usages the last
counts; an error in band ends the stream and becomes the body; tool calls are noted and never assembled.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from star_agents.core.errors import UnreadableReplyError
from star_agents.endpoints.formats.faults import error_object
from star_agents.endpoints.formats.protocol import text_of
from star_agents.endpoints.formats.wire import excerpt, load_json
from star_agents.endpoints.spec import EndpointSpec

DONE = b"[DONE]"
_KEPT = ("id", "model", "system_fingerprint")
"""The first that comes holds: every chunk repeats them."""
_FLAGS = ("prompt_filter_results", "promptFeedback")


def event_object(data: bytes, spec: EndpointSpec) -> dict[str, Any]:
    """The JSON object of one event; an error in Gemini's list is taken out of it.

    Raises:
        UnreadableReplyError: it is none.
    """
    try:
        payload = load_json(data)
    except ValueError:
        payload = None
    if isinstance(payload, list) and (error := error_object(payload)):
        payload = {"error": dict(error)}
    if not isinstance(payload, dict):
        found = excerpt(spec.masked(data[:1000].decode("utf-8", "replace")))
        raise UnreadableReplyError(f"endpoint {spec.name}: an event that is no JSON object: {found}")
    return payload


class _Assembler(ABC):
    """What both formats share; see `protocol.Assembler`."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.has_ended = False
        self.written = 0
        self._spec = spec
        self._reply: dict[str, Any] = {}
        self._text: list[str] = []
        self._has_choice = False
        self._is_over = False
        self._finish: str | None = None

    def take(self, data: bytes) -> None:
        """See `protocol.Assembler`."""
        if self._is_over:
            return
        if data.strip() == DONE:
            self._is_over = self.has_ended = True
            return
        chunk = event_object(data, self._spec)
        if (error := error_object(chunk)) is not None:
            self._reply = {"error": dict(error)}
            self._is_over = self.has_ended = True
            return
        for name in _KEPT:
            if name not in self._reply and text_of(chunk.get(name)):
                self._reply[name] = chunk[name]
        self._reply.update({name: chunk[name] for name in ("usage", *_FLAGS) if chunk.get(name)})
        listed = chunk.get("choices")
        for choice in listed if isinstance(listed, list) else ():
            if isinstance(choice, dict) and not choice.get("index"):
                self._take_choice(choice)

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        if self._finish is not None:
            return
        self._has_choice = True
        self.take_delta(choice)
        self._finish = text_of(choice.get("finish_reason"))
        self.has_ended = self._finish is not None

    def add(self, parts: list[str], text: object) -> None:
        """One more piece of text."""
        if isinstance(text, str) and text:
            parts.append(text)
            self.written += len(text)

    def is_whole(self) -> bool:
        """See `protocol.Assembler`."""
        ends = {"finish_reason": False, "done": self._is_over, "close": True}
        return "error" in self._reply or self._finish is not None or ends[self._spec.stream_end]

    def body(self) -> dict[str, Any]:
        """See `protocol.Assembler`."""
        if "error" in self._reply:
            return self._reply
        choices = [{"index": 0, "finish_reason": self._finish, **self.choice()}] if self._has_choice else []
        return {**self._reply, "choices": choices}

    @abstractmethod
    def take_delta(self, choice: Mapping[str, Any]) -> None:
        """Take in what one chunk adds to the choice."""

    @abstractmethod
    def choice(self) -> dict[str, Any]:
        """The fields of the whole choice that the format has of its own."""


class ChatAssembler(_Assembler):
    """For `/chat/completions`."""

    def __init__(self, spec: EndpointSpec) -> None:
        super().__init__(spec)
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._logprobs: list[Any] = []
        self._has_tools = False

    def take_delta(self, choice: Mapping[str, Any]) -> None:
        """See `_Assembler`."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self.add(self._text, delta.get("content"))
            self.add(self._reasoning, delta.get("reasoning_content") or delta.get("reasoning"))
            self.add(self._refusal, delta.get("refusal"))
            self._has_tools = self._has_tools or bool(delta.get("tool_calls"))
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
            self._logprobs += logprobs["content"]

    def choice(self) -> dict[str, Any]:
        """See `_Assembler`."""
        message: dict[str, Any] = {
            "content": "".join(self._text) or None,
            "reasoning_content": "".join(self._reasoning) or None,
            "refusal": "".join(self._refusal) or None,
            "tool_calls": [{}] if self._has_tools else None,
        }
        logprobs = {"content": self._logprobs} if self._logprobs else None
        return {"message": message, "logprobs": logprobs}


class PlainAssembler(_Assembler):
    """For `/completions`."""

    def __init__(self, spec: EndpointSpec) -> None:
        super().__init__(spec)
        self._lists: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": []}

    def take_delta(self, choice: Mapping[str, Any]) -> None:
        """See `_Assembler`."""
        self.add(self._text, choice.get("text"))
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and all(isinstance(logprobs.get(name), list) for name in self._lists):
            for name, values in self._lists.items():
                values.extend(logprobs[name])

    def choice(self) -> dict[str, Any]:
        """See `_Assembler`."""
        return {"text": "".join(self._text), "logprobs": self._lists if self._lists["tokens"] else None}
