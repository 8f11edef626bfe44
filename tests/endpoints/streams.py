"""Streams as servers send them, and what they become; without sockets."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from star_agents.core.calls import Completion, Message
from star_agents.core.secret import Secret
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.formats.stream import Stream
from star_agents.endpoints.formats.wire import RawReply, dump_json
from star_agents.endpoints.spec import EndpointSpec
from tests.endpoints.simulated import request

CANARY = "sk-canary-0123456789"
SPEC = EndpointSpec(
    name="e", base_urls=("http://a/v1",), model="m", api_key=Secret(CANARY, origin="env:KEY"), stream=True
)
PLAIN = replace(SPEC, api="completions")
ANTHROPIC = replace(SPEC, api="messages")
ASKED = replace(request(3), messages=(Message("system", "Be brief."), Message("user", "What is rust?")))
WALL = "2026-03-01T12:00:00.000+00:00"
DONE = "[DONE]"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4}


def raw(body: object, status: int = 200, **headers: str) -> RawReply:
    """A reply in one piece; bytes go as they are."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, written, 0.5, WALL)


def sse(*events: object) -> bytes:
    """The bytes of a stream of these events: text as it is, anything else as JSON."""
    told = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return "".join(f"data: {event}\n\n" for event in told).encode()


def delta(finish: str | None = None, *, index: int = 0, **said: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """One chunk of a chat."""
    choice = {"index": index, "delta": said, "finish_reason": finish}
    return {"id": "c1", "model": "m-2026", "system_fingerprint": "fp1", "choices": [choice]}


def usage_chunk(usage: object = USAGE) -> dict[str, Any]:
    """What comes last where a usage was asked for."""
    return {"id": "c1", "model": "m-2026", "choices": [], "usage": usage}


CHAT: tuple[object, ...] = (
    delta(role="assistant", content=""),
    delta(content="Iron "),
    delta(content="oxide."),
    delta("stop"),
    usage_chunk(),
    DONE,
)
"""A chat as OpenAI and vLLM stream it."""


def block(index: int, kind: str, text: str = "") -> dict[str, Any]:
    """The start of a block of Anthropic's."""
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: text}}


def piece(index: int, kind: str, text: str) -> dict[str, Any]:
    """More of it."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", kind: text}}


def ending(reason: str | None, output_tokens: int = 4) -> dict[str, Any]:
    """Why a message of Anthropic's ended."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output_tokens}}


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-2026",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 2},
    },
}
STOP = {"type": "message_stop"}
MESSAGE: tuple[object, ...] = (
    START,
    block(0, "thinking"),
    {"type": "ping"},
    piece(0, "thinking", "Hm."),
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
    {"type": "content_block_stop", "index": 0},
    block(1, "text"),
    piece(1, "text", "Iron "),
    piece(1, "text", "oxide."),
    {"type": "content_block_stop", "index": 1},
    ending("end_turn"),
    STOP,
)
"""A message as Anthropic streams it."""


def assembled(chunks: Iterable[bytes], spec: EndpointSpec = SPEC) -> RawReply:
    """What the client makes of a stream that comes in these pieces and then ends."""
    stream = Stream(format_of(spec).assembler(spec), f"endpoint {spec.name}")
    for chunk in chunks:
        stream.feed(chunk)
    return replace(raw(dump_json(stream.body())), is_cut=not stream.is_whole())


def completed(events: Sequence[object], spec: EndpointSpec = SPEC) -> Completion:
    """The record that a stream of these events becomes."""
    return format_of(spec).decode(assembled([sse(*events)], spec), ASKED, spec)
