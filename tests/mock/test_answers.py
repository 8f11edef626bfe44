"""What is said: by the request alone, within its constraints, and the same in every dialect."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.mock.answers import Lengths, answer, fingerprint
from star_agents.mock.dialect import Asked
from star_agents.mock.dialects import DIALECTS
from star_agents.mock.logprobs import alternatives
from star_agents.policy.verdicts import parse_verdict
from tests.mock.wire import chat

SCHEMA = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["A", "B", "tie"]},
        "reason": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "sure": {"type": "boolean"},
        "list": {"type": "array", "items": {"const": 7}},
    },
}


def test_an_answer_depends_on_the_request_alone() -> None:
    """Not on the order of its keys, nor on how much of it may be said; on anything else it does."""
    asked = chat(1, seed=5, temperature=0.7)
    said = answer(asked)
    assert said == answer(dict(reversed(asked.items())))
    assert said.text.startswith(answer({**asked, "max_tokens": 5}).text)
    others = [chat(2, seed=5, temperature=0.7), chat(1, seed=6, temperature=0.7), chat(1, seed=5, temperature=0.8)]
    assert said not in [answer(other) for other in others]
    assert fingerprint(asked) == fingerprint(dict(reversed(asked.items()))) != fingerprint(others[0])


def test_a_judge_gets_a_verdict() -> None:
    """One that our own parser reads, and over many requests each of the three."""
    texts = [answer(chat(number, "End with a line such as Verdict: A", max_tokens=8)).text for number in range(60)]
    assert {parse_verdict(text) for text in texts} == {"A", "B", "tie"}


def test_lengths_are_drawn() -> None:
    """Around the median, or all alike; the count is that of the words."""
    drawn = [answer(chat(number), Lengths(median=40, sigma=0.5)) for number in range(400)]
    assert 34 < sorted(said.completion_tokens for said in drawn)[200] < 46
    assert all(said.completion_tokens == len(said.tokens) == len(said.text.split()) for said in drawn)
    assert {answer(chat(number), Lengths(median=7, sigma=0)).completion_tokens for number in range(9)} == {7}


@pytest.mark.parametrize(
    "asked",
    [{"structured_outputs": {"choice": ["A", "B", "tie"]}}, {"guided_choice": ["A", "B", "tie"]}],
)
def test_a_choice_is_one_of_the_list(asked: dict[str, Any]) -> None:
    """And over many requests each of it, said to be the likeliest."""
    said = [answer(chat(number, **asked)) for number in range(60)]
    assert {each.text for each in said} == {"A", "B", "tie"}
    reply = DIALECTS["/v1/chat/completions"].reply(said[0], Asked("m", "name", top_logprobs=5))
    (token,) = reply["choices"][0]["logprobs"]["content"]
    assert {each["token"] for each in token["top_logprobs"]} == {"A", "B", "tie"}
    assert token["logprob"] == max(each["logprob"] for each in token["top_logprobs"])
    assert token["token"] == said[0].text


@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
        {"structured_outputs": {"json": SCHEMA}},
        {"guided_json": SCHEMA},
    ],
)
def test_json_is_made_by_its_schema(asked: dict[str, Any]) -> None:
    """Values are allowed ones, and the verdict is a token of its own, with its alternatives."""
    said = [answer(chat(number, **asked)) for number in range(40)]
    values = [json.loads(each.text) for each in said]
    assert {value["verdict"] for value in values} == {"A", "B", "tie"}
    assert {value["score"] for value in values} <= {1, 2, 3, 4, 5}
    assert all(isinstance(value["sure"], bool) and value["list"] == [7] for value in values)
    reply = DIALECTS["/v1/chat/completions"].reply(said[0], Asked("m", "name", top_logprobs=3))
    tokens = reply["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == said[0].text
    assert any({each["token"] for each in token["top_logprobs"]} == {"A", "B", "tie"} for token in tokens)


@given(st.text(max_size=5), st.integers(0, 99), st.lists(st.text(max_size=3), max_size=6, unique=True), st.text())
def test_alternatives_are_probabilities(token: str, place: int, options: list[str], source: str) -> None:
    """What was said is the likeliest, and all together are no more than one."""
    places = alternatives(token, place, options, source)
    assert places[0][0] == token
    assert all(logprob < 0 and logprob <= places[0][1] for _, logprob in places)
    assert sum(math.exp(logprob) for _, logprob in places) <= 1 + 1e-9


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("limit", [3, 400])
def test_a_stream_says_what_the_whole_reply_says(path: str, limit: int) -> None:
    """Text, reason for the end, and tokens, in each of the three APIs."""
    body = chat(1, max_tokens=limit, stream=True, stream_options={"include_usage": True})
    dialect = DIALECTS[path]
    said, asked = answer(body), dialect.asked(body, "name")
    events = [event.data for event in dialect.events(said, asked) if isinstance(event.data, dict)]
    if path == "/v1/messages":
        text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
        end, tokens = events[-2]["delta"]["stop_reason"], events[-2]["usage"]["output_tokens"]
        assert end == dialect.reply(said, asked)["stop_reason"] == ("max_tokens" if limit == 3 else "end_turn")
    else:
        choices = [event["choices"][0] for event in events if event["choices"]]
        text = "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)
        end, tokens = choices[-1]["finish_reason"], events[-1]["usage"]["completion_tokens"]
        assert end == dialect.reply(said, asked)["choices"][0]["finish_reason"] == said.finish_reason
    assert (text, tokens) == (said.text, said.completion_tokens)


def test_prompts_of_all_shapes_are_read() -> None:
    """Parts, a system prompt beside the turns, a list of prompts."""
    said = answer({"messages": [{"role": "user", "content": "one two"}]})
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "one two"}]}]}
    assert answer(parts) == said == answer({"prompt": ["one two"]})
    assert answer({"system": "be brief", "messages": [{"content": "one two"}]}).prompt_tokens == 4
