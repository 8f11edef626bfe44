"""Putting streams together: the same record as in one piece, whatever comes between, and no half answers."""

import contextlib
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Completion, FinishReason, Usage
from star_agents.core.errors import (
    CallError,
    ContextOverflowError,
    EmptyReplyError,
    FilteredReplyError,
    IncompleteReplyError,
    OverloadedError,
    RateLimitedError,
    ReasoningOnlyError,
    RunawayReplyError,
    UnreadableReplyError,
)
from star_agents.endpoints.formats import stream
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.spec import EndpointSpec
from tests.endpoints.streams import (
    ANTHROPIC,
    ASKED,
    CANARY,
    CHAT,
    DONE,
    MESSAGE,
    PLAIN,
    SPEC,
    START,
    STOP,
    USAGE,
    assembled,
    block,
    completed,
    delta,
    ending,
    piece,
    raw,
    sse,
    usage_chunk,
)

RUST = Completion(
    text="Iron oxide.",
    finish_reason=FinishReason.STOP,
    usage=Usage(9, 4),
    model="m-2026",
    endpoint="e",
    latency_s=0.5,
    fingerprint="fp1",
)


def failure(events: list[object], spec: EndpointSpec = SPEC) -> CallError:
    with pytest.raises(CallError) as caught:
        completed(events, spec)
    assert CANARY not in str(caught.value)
    return caught.value


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m-2026", "choices": [{"index": 0, "text": text, "finish_reason": finish}]}


def test_a_chat_a_completion_and_a_message() -> None:
    """Each format's stream becomes the record that its reply in one piece becomes."""
    assert completed(CHAT) == RUST
    plain = [text_chunk("Iron "), text_chunk("oxide.", "stop"), usage_chunk(), DONE]
    assert completed(plain, PLAIN) == replace(RUST, fingerprint=None)
    thought = replace(RUST, model="claude-2026", usage=Usage(11, 4, cached_tokens=2), reasoning="Hm.", fingerprint=None)
    assert completed(MESSAGE, ANTHROPIC) == thought


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=8)


@pytest.mark.fault("F-34")
@given(TEXTS, TEXTS, st.lists(st.integers(0, 3000), max_size=12))
def test_f34_streamed_or_not_is_the_same_record(said: list[str], thought: list[str], cuts: list[int]) -> None:
    """F-34, F-35: any text in any pieces, cut anywhere, decodes to what the reply in one piece decodes to."""
    text, reasoning = "x" + "".join(said), "".join(thought)
    events = [
        *(delta(reasoning_content=part) for part in thought),
        delta(content="x"),
        *(delta(content=part) for part in said),
    ]
    streamed = sse(*events, delta("length"), usage_chunk(), DONE)
    places = [0, *sorted(min(cut, len(streamed)) for cut in cuts), len(streamed)]
    whole = {
        "id": "c1",
        "model": "m-2026",
        "system_fingerprint": "fp1",
        "usage": USAGE,
        "choices": [{"finish_reason": "length", "message": {"content": text, "reasoning_content": reasoning}}],
    }
    chat = format_of(SPEC)
    pieces = assembled(streamed[a:b] for a, b in itertools.pairwise(places))
    assert chat.decode(pieces, ASKED, SPEC) == chat.decode(raw(whole), ASKED, SPEC)


@pytest.mark.fault("F-33")
@pytest.mark.parametrize(
    ("events", "spec", "whole_from"),
    [(CHAT, SPEC, 4), (MESSAGE, ANTHROPIC, 11), ([text_chunk("a"), text_chunk("b", "stop"), DONE], PLAIN, 2)],
)
def test_f33_a_stream_cut_at_any_event(events: list[object], spec: EndpointSpec, whole_from: int) -> None:
    """F-33: before the reason for its end it is no answer."""
    for cut in range(len(events)):
        if cut >= whole_from:
            assert completed(events[:cut], spec).finish_reason is FinishReason.STOP
            continue
        error = failure(events[:cut], spec)
        assert type(error) is IncompleteReplyError
        assert error.retryable
        assert error.reason == "incomplete"


@pytest.mark.fault("F-33")
def test_f33_what_was_written_in_vain_is_accounted_for() -> None:
    """F-33: by the server's count where it came in time, else by a guess that says so."""
    assert failure([*CHAT[:3]]).wasted == Usage(6, 3, is_estimated=True)
    assert failure([*CHAT[:3], usage_chunk()]).wasted == Usage(9, 4)


@pytest.mark.fault("F-33")
def test_f33_servers_that_never_say_why_they_end() -> None:
    """F-33: an endpoint may be told to take `[DONE]`, or the mere end, for the end."""
    events: list[object] = [delta(content="Iron oxide."), DONE]
    assert type(failure(events)) is IncompleteReplyError
    for stream_end in ("done", "close"):
        assert completed(events, replace(SPEC, stream_end=stream_end)).text == "Iron oxide."
    assert type(failure(events[:1], replace(SPEC, stream_end="done"))) is IncompleteReplyError
    assert completed(events[:1], replace(SPEC, stream_end="close")).text == "Iron oxide."
    silent: list[object] = [START, block(0, "text", "Iron oxide."), STOP]
    assert type(failure(silent, ANTHROPIC)) is IncompleteReplyError
    assert completed(silent, replace(ANTHROPIC, stream_end="done")).text == "Iron oxide."


@pytest.mark.fault("F-35")
@pytest.mark.parametrize(
    "events",
    [
        pytest.param([*CHAT[:3], delta("stop"), delta("length"), *CHAT[4:]], id="two-endings"),
        pytest.param([*CHAT[:4], delta(content="late"), *CHAT[4:]], id="text-after-the-end"),
        pytest.param([*CHAT, delta(content="later")], id="text-after-done"),
        pytest.param([delta(index=1, content="other"), *CHAT, delta("stop", index=1)], id="two-choices"),
        pytest.param(
            [*CHAT[:4], usage_chunk({"prompt_tokens": 9, "completion_tokens": 1}), *CHAT[4:]], id="two-usages"
        ),
        pytest.param(
            [*(({**event, "usage": None} if isinstance(event, dict) else event) for event in CHAT[:4]), *CHAT[4:]],
            id="null-usage",
        ),
        pytest.param([{"choices": [], "prompt_filter_results": []}, *CHAT], id="azure-opening"),
        pytest.param([{"id": "c1", "choices": None}, {"object": "x"}, *CHAT], id="no-choices"),
        pytest.param(
            [*CHAT[:3], delta(content=None), delta(content=7), delta(tool_calls=[{"x": 1}]), *CHAT[3:]], id="odd-deltas"
        ),
    ],
)
def test_f35_what_comes_beside_the_answer(events: list[object]) -> None:
    """F-35, F-45: duplicates, late chunks, other choices and tool calls change nothing."""
    assert completed(events) == RUST


@pytest.mark.fault("F-35")
def test_f35_without_a_usage_it_is_estimated() -> None:
    """F-35: and says so."""
    assert completed([*CHAT[:4], DONE]).usage == Usage(6, 3, is_estimated=True)
    begun = [START, block(0, "text", "Iron oxide."), {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}]
    del begun[0]
    assert completed(begun, ANTHROPIC).usage.is_estimated


ERRORS = [
    ({"error": {"message": "died", "type": "server_error", "code": 500}}, OverloadedError),
    ({"error": {"message": "slow", "code": 429}}, RateLimitedError),
    ({"error": {"message": "long", "code": "context_length_exceeded"}}, ContextOverflowError),
    ({"error": "died"}, OverloadedError),
    ([{"error": {"code": 503, "status": "UNAVAILABLE"}}], OverloadedError),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, OverloadedError),
    ({"type": "error", "error": {"type": "rate_limit_error", "message": f"key {CANARY}"}}, RateLimitedError),
]


@pytest.mark.fault("F-30")
@pytest.mark.parametrize(("error", "kind"), ERRORS)
@pytest.mark.parametrize("at", [0, 1, 3, 4, 5])
def test_f30_an_error_in_band(error: object, kind: type[CallError], at: int) -> None:
    """F-30: first, between, or after the last text: what came is thrown away, and the error is what it says."""
    for events, spec in ((CHAT, SPEC), (MESSAGE, ANTHROPIC)):
        assert type(failure([*events[:at], error, *events[at:]], spec)) is kind


@pytest.mark.parametrize(
    ("events", "error"),
    [
        pytest.param([{"choices": [], "prompt_filter_results": [{}]}, DONE], FilteredReplyError, id="f_36-azure"),
        pytest.param([delta("content_filter")], FilteredReplyError, id="f_39-filtered"),
        pytest.param(
            [delta(refusal="I "), delta(refusal="cannot"), delta("stop")], FilteredReplyError, id="f_39-refused"
        ),
        pytest.param([delta(reasoning="hm"), delta("stop")], ReasoningOnlyError, id="f_37-thought"),
        pytest.param([delta(content=" "), delta("stop")], EmptyReplyError, id="f_37-blank"),
        pytest.param([delta(tool_calls=[{}]), delta("tool_calls")], EmptyReplyError, id="f_45-tools"),
        pytest.param([DONE], IncompleteReplyError, id="f_36-nothing"),
        pytest.param([], IncompleteReplyError, id="f_36-not-even-that"),
    ],
)
@pytest.mark.fault("F-36", "F-37", "F-39", "F-45")
def test_what_says_nothing(events: list[object], error: type[CallError]) -> None:
    """F-36, F-37, F-39, F-45: as in one piece."""
    assert type(failure(events)) is error


@pytest.mark.fault("F-39")
def test_f39_a_refusal_of_anthropics() -> None:
    """F-39: an outcome, with what it cost."""
    error = failure([START, ending("refusal"), STOP], ANTHROPIC)
    assert type(error) is FilteredReplyError
    assert error.wasted == Usage(11, 4, cached_tokens=2)


@pytest.mark.fault("F-29", "F-42")
@pytest.mark.parametrize("event", ["<html>", "7", "[1]", '"x"', "", "NaN", "[" * 5000, '{"a": 1' + "0" * 5000 + "}"])
def test_f42_an_event_that_is_no_object(event: str) -> None:
    """F-42: is unreadable, at once."""
    for spec in (SPEC, PLAIN, ANTHROPIC):
        with pytest.raises(UnreadableReplyError, match="no JSON object"):
            assembled([sse(event)], spec)


@pytest.mark.fault("F-40")
def test_f40_a_repetition_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-40: past the cap the stream is a runaway, whatever its pieces."""
    monkeypatch.setattr(stream, "MAX_TEXT", 1000)
    chunks = itertools.repeat(sse(delta(content="again ")))
    with pytest.raises(RunawayReplyError, match="endpoint e: an answer of more than 1000 characters"):
        assembled(chunks)
    with pytest.raises(RunawayReplyError):
        assembled(itertools.chain([sse(START)], itertools.repeat(sse(piece(0, "thinking", "again ")))), ANTHROPIC)


def test_blocks_stand_in_order() -> None:
    """By their indices, and a piece whose block was not announced still counts."""
    events = [START, piece(2, "text", "c"), block(0, "text", "a"), piece(1, "text", "b"), ending("max_tokens")]
    completion = completed(events, ANTHROPIC)
    assert (completion.text, completion.finish_reason) == ("abc", FinishReason.LENGTH)


EVENTS = st.sampled_from([*CHAT, *MESSAGE, text_chunk("a", "stop"), *(error for error, _ in ERRORS)])
KEYS = st.sampled_from(
    (
        "choices",
        "delta",
        "content",
        "text",
        "index",
        "finish_reason",
        "usage",
        "error",
        "type",
        "content_block",
        "logprobs",
    )
)
JUNK: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(EVENTS | JUNK, max_size=10), st.sampled_from([SPEC, PLAIN, ANTHROPIC]))
def test_any_events_are_a_completion_or_one_of_our_errors(events: list[object], spec: EndpointSpec) -> None:
    """Nothing but our own errors comes out, and a completion has text in it."""
    with contextlib.suppress(CallError):
        assert completed(events, spec).text.strip()
