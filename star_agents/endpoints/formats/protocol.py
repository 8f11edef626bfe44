"""What a wire format is: from a request to bytes, from bytes to a record, all without I/O.

Laws of every format: a reply becomes a `Completion` with text in it, or an error of `core.errors`, and nothing
else whatever the bytes are; reasoning is kept apart and never becomes the answer; nothing that a model asks
for is run; an error under which tokens were served says how many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, TypeVar

from star_agents.core.calls import Completion, Request, Usage
from star_agents.core.errors import CallError, IncompleteReplyError, MisdirectedError, UnreadableReplyError
from star_agents.endpoints.formats.faults import error_in_band, error_object, error_of_status
from star_agents.endpoints.formats.wire import RawReply, excerpt, load_json
from star_agents.endpoints.spec import EndpointSpec

CHARS_PER_TOKEN = 4
"""A rough measure for prompts to pace by, and for replies that come without usage."""
_QUOTED = 4096
"""Bytes of an unreadable body that are looked at."""

E = TypeVar("E", bound=CallError)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one send differs from the request as it stands: a new sample, or a larger budget."""

    sample: int = 0
    max_tokens: int | None = None


class Assembler(Protocol):
    """Puts the events of one stream together. `who` in errors is the endpoint."""

    has_ended: bool
    """True once the answer is all there, or an error in its stead; its usage may still follow."""
    written: int
    """Characters of text and reasoning so far."""

    def take(self, data: bytes) -> None:
        """Take in the data of one event.

        Raises:
            UnreadableReplyError: they are not what the format promises.
        """
        ...

    def body(self) -> dict[str, Any]:
        """What the same reply would have been in one piece, or the error that came in its stead."""
        ...

    def is_whole(self) -> bool:
        """True where the stream said that it was over, or that it failed."""
        ...


class WireFormat(Protocol):
    """One way to talk to a server; stateless, chosen once for an endpoint (`formats.format_of`)."""

    path: str
    """Below the base URL."""

    def headers(self, spec: EndpointSpec) -> dict[str, str]:
        """What the format puts in every request's head, the key included: it is revealed here."""
        ...

    def encode(self, request: Request, spec: EndpointSpec, sampling: Sampling = ...) -> bytes:
        """The body to send. A further sample has a seed of its own; `extra_body` has the last word."""
        ...

    def decode(self, raw: RawReply, request: Request, spec: EndpointSpec) -> Completion:
        """The reply as a record; its text is not empty.

        Raises:
            EndpointError: the server says that it did not serve the request.
            ReplyError: it did, and the reply is of no use.
        """
        ...

    def assembler(self, spec: EndpointSpec) -> Assembler:
        """For one streamed reply."""
        ...


def key_header(spec: EndpointSpec, usual: str) -> dict[str, str]:
    """The header with the endpoint's key, if it has one, under its `usual` name unless the spec has another."""
    if spec.api_key is None:
        return {}
    name, key = spec.key_header or usual, spec.api_key.reveal()
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}


def estimated_tokens(request: Request, sampling: Sampling) -> int:
    """About how many tokens a call will use at most, prompt and answer together; for pacing only."""
    return _prompt_tokens(request) + (sampling.max_tokens or request.params.max_tokens)


def estimated_usage(request: Request, written: int) -> Usage:
    """What a reply of `written` characters took, where the server does not say."""
    return Usage(_prompt_tokens(request), -(-written // CHARS_PER_TOKEN), is_estimated=True)


def _prompt_tokens(request: Request) -> int:
    return -(-sum(len(turn.content) for turn in request.messages) // CHARS_PER_TOKEN)


def costing(error: E, usage: Usage) -> E:
    """The error, with what was served under it."""
    error.wasted = usage
    return error


def payload_of(raw: RawReply, spec: EndpointSpec) -> dict[str, Any]:
    """The JSON object of a good reply.

    Raises:
        EndpointError: the status is bad, or an error stands under a good one.
        ReplyError: the same, and the request is to blame; or it is no JSON object.
    """
    if raw.status != 200:  # noqa: PLR2004
        raise error_of_status(raw, spec)
    try:
        payload = load_json(raw.body)
    except ValueError:
        found = excerpt(spec.masked(raw.body[:_QUOTED].decode("utf-8", "replace"))) or "nothing"
        raise UnreadableReplyError(f"endpoint {spec.name}: a reply that is not JSON: {found}") from None
    error = error_object(payload)
    if error is not None:
        raise error_in_band(error, raw, spec)
    if not isinstance(payload, dict):
        raise UnreadableReplyError(f"endpoint {spec.name}: a reply that is no JSON object")
    if raw.is_for_another(payload.get("id")):
        raise MisdirectedError(f"endpoint {spec.name}: the reply to another request; a proxy mixes them up")
    return payload


def cut_off(spec: EndpointSpec) -> IncompleteReplyError:
    """What a stream is that ended too early."""
    return IncompleteReplyError(f"endpoint {spec.name}: the stream ended before the answer did")


def count_of(value: object) -> int | None:
    """A count of tokens, or None where it is none."""
    return value if _is_count(value) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def text_of(value: object) -> str | None:
    """A name or an id, or None where it is none."""
    return value if isinstance(value, str) and value else None


def served_models(raw: RawReply) -> tuple[str, ...] | None:
    """The ids in a reply to `GET /models`, the same in every format, or None where it is not such a list."""
    if raw.status != 200:  # noqa: PLR2004
        return None
    try:
        payload = load_json(raw.body)
    except ValueError:
        return None
    data = payload.get("data") if isinstance(payload, Mapping) else None
    if not isinstance(data, list):
        return None
    return tuple(item["id"] for item in data if isinstance(item, dict) and isinstance(item.get("id"), str))
