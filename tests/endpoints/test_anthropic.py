"""Anthropic's wire format without I/O: what goes out, and what every known shape of reply becomes."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Completion, FinishReason, Message, Usage
from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    CallError,
    ConnectionLostError,
    ContextOverflowError,
    EmptyReplyError,
    FilteredReplyError,
    MisdirectedError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitedError,
    ReasoningOnlyError,
    UnreadableReplyError,
)
from star_agents.endpoints.formats.anthropic import MESSAGES
from star_agents.endpoints.formats.protocol import Sampling
from star_agents.endpoints.formats.wire import RawReply
from tests.endpoints.streams import ANTHROPIC, ASKED, CANARY, raw

SPEC = replace(ANTHROPIC, stream=False)


def reply(*blocks: dict[str, Any], **fields: object) -> RawReply:
    usage = {"input_tokens": 9, "output_tokens": 4}
    content = blocks or ({"type": "text", "text": "Iron oxide."},)
    told = {"id": "msg_1", "type": "message", "model": "claude-2026", "content": content, "stop_reason": "end_turn"}
    return raw({**told, "usage": usage, **fields})


def failure(of: RawReply) -> CallError:
    with pytest.raises(CallError) as caught:
        MESSAGES.decode(of, ASKED, SPEC)
    return caught.value


def test_the_head_carries_the_key_its_own_way() -> None:
    """`x-api-key`, and the version of the API that is spoken."""
    assert MESSAGES.headers(SPEC) == {"anthropic-version": "2023-06-01", "x-api-key": CANARY}
    assert MESSAGES.headers(replace(SPEC, api_key=None)) == {"anthropic-version": "2023-06-01"}
    bearer = MESSAGES.headers(replace(SPEC, key_header="Authorization"))
    assert bearer == {"anthropic-version": "2023-06-01", "Authorization": f"Bearer {CANARY}"}


def test_a_request() -> None:
    """The system turn stands apart, and nothing is sent that the API does not know: no seed above all."""
    assert orjson.loads(MESSAGES.encode(ASKED, SPEC)) == {
        "model": "m",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "What is rust?"}],
        "system": "Be brief.",
    }


def test_a_request_with_everything() -> None:
    """Sampling parameters under their own names, more room, streaming, and the user's last word."""
    params = replace(ASKED.params, temperature=0.5, top_p=0.9, stop=("\n",))
    asked = replace(ASKED, params=params, messages=(Message("user", "Hi \ud83d"),), choices=("A", "B"))
    spec = replace(SPEC, stream=True, extra_body={"thinking": {"type": "disabled"}, "top_p": 0.5})
    assert orjson.loads(MESSAGES.encode(asked, spec, Sampling(2, 400))) == {
        "model": "m",
        "max_tokens": 400,
        "messages": [{"role": "user", "content": "Hi \ufffd"}],
        "temperature": 0.5,
        "top_p": 0.5,
        "stop_sequences": ["\n"],
        "stream": True,
        "thinking": {"type": "disabled"},
    }


def test_a_reply() -> None:
    """Text, reason, tokens, the model, and the time it took."""
    assert MESSAGES.decode(reply(), ASKED, SPEC) == Completion(
        text="Iron oxide.",
        finish_reason=FinishReason.STOP,
        usage=Usage(9, 4),
        model="claude-2026",
        endpoint="e",
        latency_s=0.5,
    )


@pytest.mark.fault("F-37", "F-45")
def test_f37_thinking_is_kept_apart() -> None:
    """F-37, F-45: it never becomes the answer, blocks that nobody asked for are left out, and texts are joined."""
    said = MESSAGES.decode(
        reply(
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Iron "},
            {"type": "tool_use", "name": "rm", "input": {}},
            {"type": "text", "text": "oxide."},
        ),
        ASKED,
        SPEC,
    )
    assert (said.text, said.reasoning) == ("Iron oxide.", "Hm.")


@pytest.mark.fault("F-38", "F-39")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        (None, FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("tool_use", FinishReason.TOOL_CALLS),
    ],
)
def test_f38_why_it_ended(reason: object, expected: FinishReason) -> None:
    """F-38, F-39: in the words that the rest of the package knows."""
    assert MESSAGES.decode(reply(stop_reason=reason), ASKED, SPEC).finish_reason is expected


@pytest.mark.fault("F-35")
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 9, "output_tokens": 4}, Usage(9, 4)),
        (
            {
                "input_tokens": 9,
                "output_tokens": 4,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 10,
            },
            Usage(119, 4, cached_tokens=100),
        ),
        (None, Usage(6, 3, is_estimated=True)),
        ({"input_tokens": -1, "output_tokens": 4}, Usage(6, 3, is_estimated=True)),
    ],
)
def test_f35_usage(usage: object, expected: Usage) -> None:
    """F-35: what came from a cache was read too, and is told apart."""
    assert MESSAGES.decode(reply(usage=usage), ASKED, SPEC).usage == expected


@pytest.mark.fault("F-36", "F-37", "F-39", "F-45")
@pytest.mark.parametrize(
    ("of", "error"),
    [
        pytest.param(reply({"type": "text", "text": " "}), EmptyReplyError, id="f_37-blank"),
        pytest.param(reply(content=[]), EmptyReplyError, id="f_36-no-blocks"),
        pytest.param(reply({"type": "thinking", "thinking": "Hm."}), ReasoningOnlyError, id="f_37-thought"),
        pytest.param(reply({"type": "tool_use"}, stop_reason="tool_use"), EmptyReplyError, id="f_45-tools"),
        pytest.param(reply(content=[], stop_reason="refusal"), FilteredReplyError, id="f_39-refused"),
        pytest.param(reply(stop_reason="pause_turn"), ConnectionLostError, id="f_33-put-on-hold"),
    ],
)
def test_what_says_nothing(of: RawReply, error: type[CallError]) -> None:
    """F-36, F-37, F-39, F-45: each for its reason, and each with what it cost."""
    found = failure(of)
    assert type(found) is error
    assert found.wasted == Usage(9, 4)


@pytest.mark.fault("F-20", "F-21", "F-22", "F-24", "F-25")
@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", BadRequestError),
        (401, "authentication_error", AuthFailedError),
        (402, "billing_error", QuotaExhaustedError),
        (403, "permission_error", AuthFailedError),
        (404, "not_found_error", MisdirectedError),
        (413, "request_too_large", ContextOverflowError),
        (429, "rate_limit_error", RateLimitedError),
        (500, "api_error", OverloadedError),
        (504, "timeout_error", OverloadedError),
        (529, "overloaded_error", OverloadedError),
        (200, "overloaded_error", OverloadedError),
        (200, "rate_limit_error", RateLimitedError),
    ],
)
def test_f25_its_errors(status: int, kind: str, error: type[CallError]) -> None:
    """F-20 to F-25, F-28: every type of the API's own table, and none of them shows the key."""
    body = {"type": "error", "error": {"type": kind, "message": f"no, {CANARY}"}, "request_id": "req_1"}
    found = failure(raw(body, status, request_id="req_1"))
    assert type(found) is error
    assert CANARY not in str(found)
    assert error is AuthFailedError or str(found).endswith("[request req_1]")


@pytest.mark.fault("F-29", "F-42")
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"7", b"[1]", {}, {"content": "text"}, {"choices": []}, b"[" * 100_000]
)
def test_f29_what_is_no_reply(body: object) -> None:
    """F-29, F-42: a good status is not yet success."""
    assert type(failure(raw(body))) is UnreadableReplyError


KEYS = st.sampled_from(
    ("content", "type", "text", "thinking", "stop_reason", "usage", "input_tokens", "error", "model")
)
JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["text", "thinking"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, JSON, max_size=6) | JSON | st.binary(max_size=50), st.sampled_from([200, 302, 404, 529]))
def test_any_reply_is_a_completion_or_one_of_our_errors(body: object, status: int) -> None:
    """Whatever comes, nothing but our own errors comes out, and a completion has text in it."""
    try:
        completion = MESSAGES.decode(raw(body, status), ASKED, SPEC)
    except CallError:
        return
    assert completion.text.strip()
