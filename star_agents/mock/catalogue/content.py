"""Section C of the faults, second part: replies that arrive whole and are of no use, or of a strange kind."""

from dataclasses import replace

from star_agents.mock.answers import Answer, cut_to
from star_agents.mock.catalogue.kind import Kind, plain
from star_agents.mock.faults import Fault, Json, saying

DEPTH = 100_000
DIGITS = 5_000
_MARK = "@raw@"
"""Stands where what no JSON encoder writes will stand."""


def _silent(said: Answer) -> Answer:
    return replace(said, text="", words=())


def _thinking(said: Answer) -> Answer:
    return replace(said, text="", words=(), reasoning="hm")


def _reasoned(said: Answer) -> Answer:
    return replace(said, reasoning="First I think, then I say.")


def _filtered(said: Answer) -> Answer:
    return replace(said, text="", words=(), finish_reason="content_filter", completion_tokens=0)


def _declined(said: Answer) -> Answer:
    return replace(said, text="", words=(), refusal="I cannot help with that.")


def _calling(said: Answer) -> Answer:
    call = {"name": "delete_all_files", "arguments": '{"path": "/"}'}
    return replace(said, text="", words=(), finish_reason="tool_calls", tool_calls=(call,))


def _marked(said: Answer) -> Answer:
    return replace(said, text=f"{said.text} {_MARK}", words=(*said.tokens, f" {_MARK}"))


def _without_choices(payload: Json) -> Json:
    return {**payload, "choices": [], "usage": None} if "choices" in payload else {**payload, "content": []}


def _null_choices(payload: Json) -> Json:
    return {**payload, "choices": None, "content": None, "delta": None}


def _azure_filter(payload: Json) -> Json:
    found = {"prompt_index": 0, "content_filter_results": {"violence": {"filtered": True, "severity": "high"}}}
    return {**payload, "choices": [], "prompt_filter_results": [found]}


def _gemini_filter(payload: Json) -> Json:
    return {**payload, "choices": [], "promptFeedback": {"blockReason": "SAFETY"}}


def _text_raw(name: str, escape: bytes) -> Fault:
    return Fault(name=name, say=_marked, raw=(_MARK.encode(), escape))


def _number_raw(name: str, literal: bytes) -> Fault:
    return Fault(name=name, change=lambda payload: {**payload, "oddity": _MARK}, raw=(f'"{_MARK}"'.encode(), literal))


def _cut_short(argument: str) -> Fault:
    limit = int(argument)
    return Fault(name="cut_short", say=lambda said: cut_to(said, limit))


def _renamed(argument: str) -> Fault:
    def change(payload: Json) -> Json:
        if isinstance(payload.get("message"), dict):  # the first event of Anthropic's streams
            return {**payload, "message": {**payload["message"], "model": argument}}
        return {**payload, "model": argument} if "model" in payload else payload

    return Fault(name="renamed", change=change, keeps_right=True)


NO_CHOICES = Fault(name="no_choices", change=_without_choices)
SILENT = Fault(name="silent", say=_silent)
THINKING = Fault(name="thinking", say=_thinking)
REFUSED = Fault(name="filtered", say=_filtered)

KINDS = (
    plain(NO_CHOICES, "F-36", "no choices (no content, in messages)"),
    plain(Fault(name="null_choices", change=_null_choices), "F-36", "choices: null"),
    plain(Fault(name="azure_filter", change=_azure_filter), "F-36", "no choices, and Azure's prompt_filter_results"),
    plain(Fault(name="gemini_filter", change=_gemini_filter), "F-36", "no choices, and Gemini's promptFeedback"),
    plain(saying("null", b"null"), "F-36", "the body is null"),
    plain(SILENT, "F-37", "an empty answer"),
    plain(THINKING, "F-37", "content: null, and reasoning alone"),
    plain(Fault(name="reasoned", say=_reasoned, keeps_right=True), "F-37", "reasoning beside the answer"),
    Kind("cut_short", "F-38", "finish_reason length after ARG tokens", _cut_short, "5"),
    plain(REFUSED, "F-39", "no text, and finish_reason content_filter"),
    plain(Fault(name="declined", say=_declined), "F-39", "no text, and a refusal"),
    plain(Fault(name="endless", endless=True), "F-40", "text without end, streamed or not"),
    plain(_text_raw("surrogate", rb"\ud800"), "F-41", "a lone surrogate at the end of the text"),
    plain(_text_raw("nul", rb"\u0000"), "F-41", "a NUL at the end of the text"),
    plain(_text_raw("replacement", rb"\ufffd"), "F-41", "U+FFFD at the end of the text"),
    plain(_text_raw("bad_utf8", b"\xff\xfe"), "F-41", "bytes that are no UTF-8 at the end of the text"),
    plain(_number_raw("nan", b"NaN"), "F-42", "NaN in the JSON"),
    plain(_number_raw("infinity", b"1e999"), "F-42", "1e999 in the JSON"),
    plain(_number_raw("deep", b"[" * DEPTH + b"]" * DEPTH), "F-42", f"{DEPTH} brackets in the JSON"),
    plain(_number_raw("huge_int", b"9" * DIGITS), "F-42", f"an integer of {DIGITS} digits in the JSON"),
    Kind("renamed", "F-43", "the model is called ARG", _renamed, "another-model"),
    plain(Fault(name="crossed", crosses=True), "F-44", "the answer to the request before this one"),
    plain(Fault(name="tool_calls", say=_calling), "F-45", "a tool call that nobody asked for"),
)
