"""Putting the events of a streamed Anthropic reply together, into the message that it would have been in one piece.

Laws: blocks stand in the order of their indices; a usage's later counts replace its earlier ones; `message_stop`
ends the stream, and so does an error, which becomes the body; what a tool would be given is never assembled.
"""

from collections.abc import Mapping
from typing import Any

from star_agents.endpoints.formats.faults import error_object
from star_agents.endpoints.formats.openai_stream import event_object
from star_agents.endpoints.spec import EndpointSpec

_TEXT_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking"}


class MessageAssembler:
    """See `protocol.Assembler`."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.has_ended = False
        self.written = 0
        self._spec = spec
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, tuple[str, list[str]]] = {}
        """The kind of each block and the pieces of its text, by index."""
        self._is_over = False

    def take(self, data: bytes) -> None:
        """See `protocol.Assembler`."""
        if self._is_over:
            return
        event = event_object(data, self._spec)
        if (error := error_object(event)) is not None:
            self._message = {"error": dict(error)}
            self._is_over = self.has_ended = True
            return
        match event.get("type"):
            case "message_start":
                self._take_message(event.get("message"))
            case "content_block_start":
                self._take_block(event)
            case "content_block_delta":
                self._take_delta(event)
            case "message_delta":
                self._take_message(event.get("delta"))
                self._take_usage(event.get("usage"))
                self.has_ended = "stop_reason" in self._message
            case "message_stop":
                self._is_over = self.has_ended = True
            case _:
                pass  # a ping, a block's end, or something newer than we are

    def _take_message(self, message: object) -> None:
        if isinstance(message, dict):
            self._message.update({name: value for name, value in message.items() if value is not None})
            self._take_usage(message.get("usage"))

    def _take_usage(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _take_block(self, event: Mapping[str, Any]) -> None:
        index, block = event.get("index"), event.get("content_block")
        if isinstance(index, int) and isinstance(block, dict) and index not in self._blocks:
            kind = str(block.get("type"))
            self._blocks[index] = kind, []
            self._add(index, block.get(kind))

    def _take_delta(self, event: Mapping[str, Any]) -> None:
        index, delta = event.get("index"), event.get("delta")
        if not isinstance(index, int) or not isinstance(delta, dict):
            return
        kind = _TEXT_OF_DELTA.get(str(delta.get("type")))
        if kind is not None:
            self._blocks.setdefault(index, (kind, []))
            self._add(index, delta.get(kind))

    def _add(self, index: int, text: object) -> None:
        if isinstance(text, str) and text:
            self._blocks[index][1].append(text)
            self.written += len(text)

    def is_whole(self) -> bool:
        """See `protocol.Assembler`."""
        ends = {"finish_reason": False, "done": self._is_over, "close": True}
        return "error" in self._message or "stop_reason" in self._message or ends[self._spec.stream_end]

    def body(self) -> dict[str, Any]:
        """See `protocol.Assembler`."""
        if "error" in self._message:
            return self._message
        content = [{"type": kind, kind: "".join(texts)} for _, (kind, texts) in sorted(self._blocks.items())]
        return {**self._message, "content": content, "usage": self._usage or None}
