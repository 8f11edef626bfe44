"""Section C of the faults, first part: streams that end badly, and streams that are framed oddly but well."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from star_agents.mock.catalogue.kind import Kind, plain
from star_agents.mock.catalogue.status import ERRORS_INSIDE
from star_agents.mock.dialect import Event
from star_agents.mock.faults import Fault, Json
from star_agents.mock.openai import DONE
from star_agents.mock.sse import FRAMINGS, byte_by_byte, with_bom

_PLACES = ("first", "mid", "last")


def _finishes(event: Event) -> bool:
    """Does it say why the answer ended?"""
    if not isinstance(event.data, dict):
        return False
    choices = event.data.get("choices") or [{}]
    return choices[0].get("finish_reason") is not None or event.data.get("type") == "message_delta"


def _without_finish(events: Sequence[Event]) -> Iterator[Event]:
    """Only what was said."""
    for event in events:
        if _finishes(event):
            return
        yield event


def _unfinished(payload: Json) -> Json:
    """The same of a reply that is not streamed."""
    choices = [{**choice, "finish_reason": None} for choice in payload.get("choices", ())]
    return {**payload, "choices": choices} if choices else payload


def _without_done(events: Sequence[Event]) -> Iterator[Event]:
    return (event for event in events if event is not DONE and event.name != "message_stop")


def _cut(argument: str) -> Fault:
    count = int(argument)
    return Fault(name="cut_stream", restream=lambda events: events[:count], change=_unfinished)


def _erring(argument: str) -> Fault:
    place, _, provider = argument.partition("/")
    if place not in _PLACES or provider not in {"", *ERRORS_INSIDE}:
        raise ValueError(f"{', '.join(_PLACES)}, perhaps with a provider: mid/openrouter")
    error = ERRORS_INSIDE[provider or "vllm"]
    data = orjson.dumps(error).decode()
    event = Event(data, "error" if provider == "anthropic" else None)

    def restream(events: Sequence[Event]) -> Iterable[Event]:
        ends = [at for at, each in enumerate(events) if _finishes(each)]
        last = ends[0] if ends else len(events)
        at = {"first": 0, "mid": last // 2, "last": last}[place]
        return [*events[:at], event, DONE]

    return Fault(name="stream_error", restream=restream, change=lambda _: error)


def _repeat_end(events: Sequence[Event]) -> Iterator[Event]:
    for event in events:
        yield event
        if _finishes(event) and event.name is None:
            yield event


def _late(events: Sequence[Event]) -> Iterator[Event]:
    """What was said last is said once more after the end."""
    tokens = [event for event in events if event.is_token]
    for event in events:
        if event is DONE and tokens:
            yield tokens[-1]
        yield event


def _second_choice(payload: Json) -> Json:
    choices = payload.get("choices")
    if not choices:
        return payload
    return {**payload, "choices": [*choices, _other(choices[0])]}


def _other(choice: Json) -> Json:
    changes: Json = {"index": 1}
    if "text" in choice:
        changes["text"] = "another "
    for part in {"message", "delta"} & choice.keys():
        changes[part] = {**choice[part], "content": "another "}
    return {**choice, **changes}


def _without_usage(payload: Json) -> Json:
    if "choices" in payload and not payload["choices"]:
        return {**payload, "usage": None}
    return {key: value for key, value in payload.items() if key != "usage"}


def _framed(name: str) -> Kind:
    fault = Fault(name=f"sse_{name}", framing=FRAMINGS[name], keeps_right=True)
    return plain(fault, "F-34", f"a stream framed well: {_FRAMED[name]}")


def _laid_out(name: str, does: str, reframe: Callable[[Iterable[bytes]], Iterable[bytes]]) -> Kind:
    return plain(Fault(name=name, reframe=reframe, keeps_right=True), "F-34", does)


_FRAMED = {
    "crlf": "lines end with CR LF",
    "cr": "lines end with CR",
    "tight": "no blank after `data:`",
    "multiline": "JSON over several data lines",
    "comments": "a comment before every event",
    "fields": "id, retry and unknown fields",
}

KINDS = (
    Kind("stream_error", "F-30", "an error as ARG (first, mid, last[/PROVIDER]) event of a stream", _erring, "mid"),
    plain(
        Fault(name="no_finish", restream=_without_finish, change=_unfinished),
        "F-33",
        "a stream that ends, in good order, before finish_reason and [DONE]",
    ),
    plain(Fault(name="no_done", restream=_without_done, keeps_right=True), "F-33", "a stream without [DONE]"),
    Kind("cut_stream", "F-33", "a stream that ends, in good order, after ARG events", _cut, "3"),
    *(_framed(name) for name in FRAMINGS),
    _laid_out("sse_bom", "a byte order mark before the first event", with_bom),
    _laid_out("sse_bytes", "every byte in a chunk of its own", byte_by_byte),
    plain(Fault(name="twice_ended", restream=_repeat_end, keeps_right=True), "F-35", "the last chunk comes twice"),
    plain(Fault(name="late_chunk", restream=_late), "F-35", "text comes after the finish_reason"),
    plain(
        Fault(name="two_choices", change=_second_choice, keeps_right=True),
        "F-35",
        "a choice of index 1 nobody asked for",
    ),
    plain(Fault(name="no_usage", change=_without_usage, keeps_right=True), "F-35", "no usage"),
)
