"""OpenAI's wire format without I/O: what goes out, and what every known shape of reply becomes."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import (
    Completion,
    FinishReason,
    Message,
    Request,
    Usage,
)
from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    CallError,
    ConnectionLostError,
    ContextOverflowError,
    EmptyReplyError,
    EndpointError,
    FilteredReplyError,
    MisdirectedError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitedError,
    ReasoningOnlyError,
    ReplyError,
    StarError,
    UnreadableReplyError,
)
from star_agents.core.secret import Secret
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.formats.openai import CHAT
from star_agents.endpoints.formats.protocol import Sampling, served_models
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec
from tests.endpoints.simulated import request

CANARY = "sk-canary-0123456789"
SPEC = EndpointSpec(
    name="e", base_urls=("http://a/v1",), model="m", api_key=Secret(CANARY, origin="env:KEY"), send_seed=True
)
ASKED = replace(request(3), messages=(Message("system", "Be brief."), Message("user", "What is rust?")))
WALL = "2026-03-01T12:00:00.000+00:00"


def encode(request: Request, spec: EndpointSpec, sampling: Sampling | None = None) -> bytes:
    return format_of(spec).encode(request, spec, sampling or Sampling())


def decode(raw: RawReply, request: Request, spec: EndpointSpec) -> Completion:
    return format_of(spec).decode(raw, request, spec)


def raw(body: object, status: int = 200, **headers: str) -> RawReply:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, written, 0.5, WALL)


def reply(choice: dict[str, Any] | None = None, **fields: object) -> RawReply:
    chosen = {"finish_reason": "stop", "message": {"content": "Iron oxide."}, **(choice or {})}
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    return raw({"model": "m-2026", "choices": [chosen], "usage": usage, **fields})


def error_of(reply: RawReply) -> CallError:
    with pytest.raises(CallError) as caught:
        decode(reply, ASKED, SPEC)
    return caught.value


def test_a_chat_request() -> None:
    """What was not asked for is not sent, so the server's own defaults hold."""
    assert orjson.loads(encode(ASKED, SPEC)) == {
        "model": "m",
        "max_tokens": 200,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is rust?"}],
        "seed": 3,
    }


def test_a_request_with_everything() -> None:
    """Sampling parameters, a further sample with more room, another field for it, and the user's last word."""
    asked = replace(ASKED, params=replace(ASKED.params, temperature=0.0, top_p=0.9, stop=("\n",)), random_seed=2**63)
    spec = replace(SPEC, max_tokens_field="max_completion_tokens", extra_body={"top_k": 5, "top_p": 0.5})
    body = orjson.loads(encode(asked, spec, Sampling(sample=1, max_tokens=400)))
    assert body["max_completion_tokens"] == 400
    assert (body["temperature"], body["top_p"], body["stop"], body["top_k"]) == (0.0, 0.5, ["\n"], 5)
    assert body["seed"] == 1
    assert "max_tokens" not in body


def test_the_head_carries_the_key() -> None:
    """As a bearer's, or in the header that a provider has of its own (Azure)."""
    assert CHAT.headers(SPEC) == {"Authorization": f"Bearer {CANARY}"}
    assert CHAT.headers(replace(SPEC, key_header="api-key")) == {"api-key": CANARY}
    assert CHAT.headers(replace(SPEC, api_key=None)) == {}


def test_a_base_model_gets_one_prompt() -> None:
    """The turns' texts, flattened, and no seed where the server knows none."""
    body = orjson.loads(encode(ASKED, replace(SPEC, api="completions", send_seed=False)))
    assert body == {"model": "m", "max_tokens": 200, "prompt": "Be brief.\n\nWhat is rust?\n\n"}


@pytest.mark.fault("F-41")
def test_f41_what_cannot_be_sent_is_repaired() -> None:
    """F-41: a seed with half a surrogate pair in it does not stop the run."""
    asked = replace(ASKED, messages=(Message("user", "half \ud83d pair \ud83d\ude00"),))
    sent = orjson.loads(encode(asked, SPEC))["messages"][0]["content"]
    assert sent == "half \ufffd pair \U0001f600"


def test_a_chat_reply() -> None:
    """Text, reason, tokens, the model that really answered, and the time it took."""
    assert decode(reply(), ASKED, SPEC) == Completion(
        text="Iron oxide.",
        finish_reason=FinishReason.STOP,
        usage=Usage(9, 4),
        model="m-2026",
        endpoint="e",
        latency_s=0.5,
    )


def test_a_plain_completion() -> None:
    """`/completions` says it in `text`."""
    spec = replace(SPEC, api="completions", label="base")
    completion = decode(raw({"choices": [{"text": " rust", "finish_reason": "length"}]}), ASKED, spec)
    assert (completion.text, completion.finish_reason, completion.model) == (" rust", FinishReason.LENGTH, "base")


@pytest.mark.fault("F-38", "F-39")
@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("eos_token", FinishReason.STOP),
        (None, FinishReason.STOP),
        (7, FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.TOOL_CALLS),
    ],
)
def test_f38_why_it_ended(finish: object, expected: FinishReason) -> None:
    """F-38, F-39: in OpenAI's words, whoever says it."""
    assert decode(reply({"finish_reason": finish}), ASKED, SPEC).finish_reason is expected


@pytest.mark.fault("F-35")
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, Usage(9, 4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 36}},
            Usage(9, 40, 36),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}},
            Usage(9, 4, cached_tokens=8),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 49,
                "completion_tokens_details": {"reasoning_tokens": 36},
            },
            Usage(9, 40, 36),
        ),
        (None, Usage(6, 3, is_estimated=True)),
        ({}, Usage(6, 3, is_estimated=True)),
        ({"prompt_tokens": -1, "completion_tokens": 4}, Usage(6, 3, is_estimated=True)),
        ({"prompt_tokens": True, "completion_tokens": 4}, Usage(6, 3, is_estimated=True)),
        ({"prompt_tokens": 9.0, "completion_tokens": 4}, Usage(6, 3, is_estimated=True)),
    ],
)
def test_f35_usage_is_counted_or_estimated(usage: object, expected: Usage) -> None:
    """F-35: and an estimate says that it is one."""
    assert decode(reply(usage=usage), ASKED, SPEC).usage == expected


@pytest.mark.fault("F-37", "F-45")
@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "a", "reasoning_content": "b"}, "a", "b"),
        ({"content": "a", "reasoning": "b"}, "a", "b"),
        ({"content": "a", "reasoning": ""}, "a", None),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}, "ab", None),
        ({"content": "a", "tool_calls": [{"function": {"name": "rm"}}]}, "a", None),
    ],
)
def test_f37_reasoning_is_kept_apart(message: dict[str, Any], text: str, reasoning: str | None) -> None:
    """F-37, F-45: it never becomes the answer, and a tool that a model asks for is not run."""
    completion = decode(reply({"message": message}), ASKED, SPEC)
    assert (completion.text, completion.reasoning) == (text, reasoning)


@pytest.mark.fault("F-41")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'{"choices":[{"message":{"content":"a\u0000b"}}]}', "a\ufffdb"),
        (rb'{"choices":[{"message":{"content":"a\ud83db"}}]}', "a\ufffdb"),
        (rb'{"choices":[{"message":{"content":"\ud83d\ude00 \udc00"}}]}', "\U0001f600 \ufffd"),
        (b'{"choices":[{"message":{"content":"a\xffb"}}]}', "a\ufffdb"),
        (b'\xef\xbb\xbf{"choices":[{"message":{"content":"a"}}]}', "a"),
    ],
)
def test_f41_text_is_repaired_at_the_edge(body: bytes, text: str) -> None:
    """F-41: no lone surrogate, no NUL and no broken UTF-8 gets past here."""
    assert decode(raw(body), ASKED, SPEC).text == text


@pytest.mark.fault("F-29", "F-36", "F-42")
@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"", UnreadableReplyError, id="f_29-empty"),
        pytest.param(b"<html><body>Sign in</body></html>", UnreadableReplyError, id="f_29-html"),
        pytest.param(b"data: {}\n\n", UnreadableReplyError, id="f_29-stream"),
        pytest.param({}, UnreadableReplyError, id="f_36-no-choices"),
        pytest.param({"choices": []}, UnreadableReplyError, id="f_36-empty-choices"),
        pytest.param({"choices": None}, UnreadableReplyError, id="f_36-null-choices"),
        pytest.param({"choices": ["x"]}, UnreadableReplyError, id="f_36-odd-choices"),
        pytest.param(
            {"choices": [], "prompt_filter_results": [{"content_filter_results": {}}]},
            FilteredReplyError,
            id="f_36-azure-filtered",
        ),
        pytest.param([1, 2], UnreadableReplyError, id="f_42-a-list"),
        pytest.param(b"7", UnreadableReplyError, id="f_42-a-number"),
        pytest.param(b'{"choices": NaN}', UnreadableReplyError, id="f_42-nan"),
        pytest.param(b'{"usage": 1' + b"0" * 5000 + b"}", UnreadableReplyError, id="f_42-a-huge-number"),
        pytest.param(b"[" * 100_000, UnreadableReplyError, id="f_42-deep"),
        pytest.param(b'{"choices": 1e999}', UnreadableReplyError, id="f_42-infinite"),
        pytest.param({"choices": [{"finish_reason": "stop"}]}, EmptyReplyError, id="f_37-no-message"),
    ],
)
def test_what_is_no_reply(body: object, error: type[StarError]) -> None:
    """F-29, F-36, F-42: a good status is not yet success."""
    assert type(error_of(raw(body))) is error


@pytest.mark.fault("F-33", "F-37", "F-39", "F-45")
@pytest.mark.parametrize(
    ("choice", "error"),
    [
        pytest.param({"message": {"content": ""}}, EmptyReplyError, id="f_37-empty"),
        pytest.param({"message": {"content": " \n"}}, EmptyReplyError, id="f_37-blank"),
        pytest.param({"message": {"content": None}}, EmptyReplyError, id="f_37-null"),
        pytest.param(
            {"message": {"content": None, "reasoning_content": "hm"}}, ReasoningOnlyError, id="f_37-only-reasoning"
        ),
        pytest.param(
            {"message": {"content": None}, "finish_reason": "content_filter"}, FilteredReplyError, id="f_39-filtered"
        ),
        pytest.param({"message": {"content": None, "refusal": "I cannot"}}, FilteredReplyError, id="f_39-refused"),
        pytest.param(
            {"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"},
            EmptyReplyError,
            id="f_45-only-tools",
        ),
        pytest.param({"finish_reason": "abort"}, ConnectionLostError, id="f_33-aborted"),
        pytest.param({"finish_reason": "error"}, ConnectionLostError, id="f_33-broken-off"),
    ],
)
def test_what_says_nothing(choice: dict[str, Any], error: type[StarError]) -> None:
    """F-37, F-39, F-45: why there is no text decides what is done about it."""
    assert type(error_of(reply(choice))) is error


IN_BAND = [
    ({"error": {"message": "boom", "type": "server_error", "code": 500}}, OverloadedError),
    ({"error": {"message": "boom", "code": 429}}, RateLimitedError),
    ({"error": {"message": "no credit", "code": 402}}, QuotaExhaustedError),
    ({"error": {"message": "slow", "type": "tokens", "code": "rate_limit_exceeded"}}, RateLimitedError),
    ({"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}, None),
    ({"error": {"type": "overloaded_error", "message": "busy"}}, OverloadedError),
    ({"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, BadRequestError),
    ([{"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}], OverloadedError),
    ({"error": "engine died"}, OverloadedError),
    ({"error": {"message": "what?"}}, OverloadedError),
]


@pytest.mark.fault("F-28")
@pytest.mark.parametrize(("body", "error"), IN_BAND)
def test_f28_an_error_under_a_good_status(body: object, error: type[StarError] | None) -> None:
    """F-28: six providers' ways to say 200 and mean something else."""
    assert type(error_of(raw(body))) is (error or ContextOverflowError)


@pytest.mark.fault("F-28")
@pytest.mark.parametrize("error", [None, {}, ""])
def test_f28_an_error_that_is_none(error: object) -> None:
    """F-28: some servers send the field empty in every reply."""
    assert decode(reply(error=error), ASKED, SPEC).text == "Iron oxide."


STATUSES: list[tuple[int, object, type[StarError]]] = [
    (301, b"", MisdirectedError),
    (302, b"", MisdirectedError),
    (400, {"error": {"message": "x", "type": "invalid_request_error", "code": None}}, BadRequestError),
    (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, ContextOverflowError),
    (400, {"error": {"message": "x", "type": "BadRequestError", "param": "input_tokens"}}, ContextOverflowError),
    (400, {"error": {"message": "x", "type": "BadRequestError", "param": "max_tokens"}}, ContextOverflowError),
    (400, {"error": {"message": "x", "type": "BadRequestError", "param": "temperature"}}, BadRequestError),
    (400, {"error": {"message": "x", "type": "exceed_context_size_error"}}, ContextOverflowError),
    (400, {"error": {"code": "content_filter", "message": "x"}}, FilteredReplyError),
    (400, {"error": {"code": "model_not_found", "message": "x"}}, MisdirectedError),
    (400, b"<html>", BadRequestError),
    (401, {"error": "Unauthorized"}, AuthFailedError),
    (402, {"error": {"message": "Insufficient Balance"}}, QuotaExhaustedError),
    (403, b"", AuthFailedError),
    (403, {"error": {"code": 403, "metadata": {"flagged_input": "x"}}}, FilteredReplyError),
    (404, {"detail": "Not Found"}, MisdirectedError),
    (405, b"", MisdirectedError),
    (407, b"", AuthFailedError),
    (408, b"", OverloadedError),
    (409, b"", OverloadedError),
    (413, b"", BadRequestError),
    (422, {"detail": "Unexpected fields in the request: {'seed'}"}, BadRequestError),
    (429, {"error": {"type": "requests", "code": "rate_limit_exceeded"}}, RateLimitedError),
    (429, {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}, QuotaExhaustedError),
    (429, {"error": {"type": "insufficient_quota", "code": None}}, QuotaExhaustedError),
    (429, {"error": {"message": "your insufficient_quota of patience"}}, RateLimitedError),
    (429, b"", RateLimitedError),
    (500, {"error": {"message": "x", "type": "InternalServerError", "code": 500}}, OverloadedError),
    (500, {"error": {"message": "maximum context length", "type": "server_error"}}, OverloadedError),
    (502, b"<html>Bad Gateway</html>", OverloadedError),
    (503, {"error": "busy", "error_type": "overloaded"}, OverloadedError),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, OverloadedError),
]


@pytest.mark.fault("F-13", "F-20", "F-21", "F-22", "F-23", "F-24", "F-25")
@pytest.mark.parametrize(("status", "body", "error"), STATUSES)
def test_f20_to_f25_a_bad_status_is_classified_by_codes(status: int, body: object, error: type[StarError]) -> None:
    """F-13, F-20 to F-25: by status, code, type and field, never by the words of the message."""
    assert type(error_of(raw(body, status))) is error


@pytest.mark.fault("F-16", "F-17")
def test_f16_a_rate_limit_carries_its_time() -> None:
    """F-16, F-17: and so does an overload, where the server names one."""
    limited = error_of(raw(b"", 429, retry_after="7"))
    assert isinstance(limited, RateLimitedError)
    assert limited.retry_after_s == 7.0
    busy = error_of(raw(b"", 503, retry_after="Sun, 01 Mar 2026 12:00:03 GMT"))
    assert isinstance(busy, OverloadedError)
    assert busy.retry_after_s == 3.0


@pytest.mark.fault("F-25")
@pytest.mark.parametrize(
    ("status", "wish", "is_retryable"),
    [(503, "false", False), (503, "true", True), (503, "", True), (422, "true", True), (422, "", False)],
)
def test_f25_a_server_may_say_whether_to_try_again(status: int, wish: str, is_retryable: bool) -> None:
    """F-25: and its word counts for more than its status."""
    assert error_of(raw(b"", status, x_should_retry=wish)).retryable is is_retryable


@pytest.mark.fault("F-21")
def test_f21_the_key_that_is_rejected_is_named() -> None:
    """F-21: by where it came from; a proxy's refusal is told apart."""
    assert str(error_of(raw(b"", 401))) == "endpoint e: HTTP 401: the key is rejected (env:KEY)"
    assert "the proxy rejects" in str(error_of(raw(b"", 407)))


def test_an_error_names_the_request() -> None:
    """So that the people who run the server can find it; by our own name where theirs is not told."""
    assert str(error_of(raw(b"x", 500, x_request_id="req_1"))).endswith(": x [request req_1]")
    assert str(error_of(replace(raw(b"x", 500), sent_id="sa-1"))).endswith("[request sa-1]")
    assert len(str(error_of(raw(b"x", 500, x_request_id="y" * 999)))) < 150


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": ""}},
        {"message": {"content": None, "reasoning": "hm"}},
        {"message": {"content": None}, "finish_reason": "content_filter"},
        {"finish_reason": "abort"},
    ],
)
def test_an_error_tells_what_was_served_in_vain(choice: dict[str, Any]) -> None:
    """What is paid for and of no use is accounted for; a refusal before any work costs nothing."""
    assert error_of(reply(choice)).wasted == Usage(9, 4)
    assert error_of(reply(choice, usage=None)).wasted.is_estimated
    assert error_of(raw(b"", 503)).wasted == Usage()


@pytest.mark.fault("F-43")
def test_f43_the_model_and_its_build_are_on_record() -> None:
    """F-43: so that a silent change can be told."""
    completion = decode(reply(system_fingerprint="fp1"), ASKED, SPEC)
    assert (completion.model, completion.fingerprint) == ("m-2026", "fp1")
    assert decode(reply(system_fingerprint=7), ASKED, SPEC).fingerprint is None


@pytest.mark.fault("F-35")
def test_f35_the_first_of_two_choices_is_the_one_with_index_0() -> None:
    """F-35: wherever it stands."""
    others = [{"index": 1, "message": {"content": "other"}}, {"index": 0, "message": {"content": "mine"}}]
    assert decode(raw({"choices": others}), ASKED, SPEC).text == "mine"
    assert decode(raw({"choices": others[:1]}), ASKED, SPEC).text == "other"


@pytest.mark.fault("F-21")
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500, 503])
def test_f21_no_message_holds_the_key(status: int) -> None:
    """F-21: not even where the server echoes it, and no control character gets through either."""
    for body in ({"error": {"message": f"bad \x1b[2J key {CANARY}"}}, f"{CANARY}\x07".encode()):
        said = str(error_of(raw(body, status)))
        assert CANARY not in said
        assert said.isprintable()
        assert said.startswith("endpoint e")
        assert len(said) < 300


KEYS = st.sampled_from(
    (
        *("choices", "message", "content", "text", "finish_reason", "usage", "prompt_tokens", "completion_tokens"),
        *("error", "code", "type", "model", "detail", "reasoning_content", "refusal", "param", "object", "status"),
    )
)
JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(KEYS, JSON, max_size=6) | JSON, st.sampled_from([200, 302, 400, 404, 429, 503]))
def test_any_json_is_a_completion_or_one_of_our_errors(body: object, status: int) -> None:
    """Whatever comes, nothing but our own errors comes out, and a completion has clean text in it."""
    try:
        completion = decode(raw(body, status), ASKED, SPEC)
    except (EndpointError, ReplyError):
        return
    assert completion.text.strip()
    assert "\0" not in completion.text
    completion.text.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_completion_or_one_of_our_errors(body: bytes) -> None:
    """The same for what is no JSON at all."""
    with pytest.raises((EndpointError, ReplyError)):
        decode(raw(body), ASKED, SPEC)


@pytest.mark.parametrize(
    ("reply", "models"),
    [
        (raw({"data": [{"id": "a"}, {"id": "b"}, {"no": 1}, 7]}), ("a", "b")),
        (raw({"data": None}), None),
        (raw(b"<html>"), None),
        (raw({"data": [{"id": "a"}]}, 404), None),
    ],
)
def test_the_list_of_models(reply: RawReply, models: tuple[str, ...] | None) -> None:
    """Read where it can be read."""
    assert served_models(reply) == models
