"""Asking for one of a few answers, and reading how probable each was."""

import math
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.formats.choices import Token, asked, probabilities, unwrapped
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.formats.openai import CHAT, COMPLETIONS
from star_agents.endpoints.formats.openai_logprobs import chat_tokens, plain_tokens
from star_agents.endpoints.spec import Choices
from tests.endpoints.streams import ASKED, DONE, PLAIN, SPEC, completed, delta, raw

LABELS = ("A", "B", "C")
WORDS = ("win", "loss", "lost", "tie")
JUDGED = replace(ASKED, choices=LABELS)
UNSTREAMED = replace(SPEC, stream=False)


def token(text: str, **p: float) -> Token:
    """A token and its rivals; `_A` stands for ` A`."""
    return Token(text, {name.replace("_", " "): math.log(share) for name, share in p.items()})


def rounded(told: dict[str, float] | None) -> dict[str, float] | None:
    return told and {label: round(share, 3) for label, share in told.items()}


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("auto", {}),
        ("none", {}),
        ("logprobs", {"logprobs": True, "top_logprobs": 20}),
        (
            "structured_outputs",
            {"structured_outputs": {"choice": ["A", "B", "C"]}, "logprobs": True, "top_logprobs": 20},
        ),
        ("guided_choice", {"guided_choice": ["A", "B", "C"], "logprobs": True, "top_logprobs": 20}),
    ],
)
def test_how_a_chat_is_asked(mode: Choices, fields: dict[str, Any]) -> None:
    """In the words of the server that was found to understand them; unsettled, in none."""
    plain = orjson.loads(CHAT.encode(ASKED, UNSTREAMED))
    assert orjson.loads(CHAT.encode(JUDGED, replace(UNSTREAMED, choices=mode))) == {**plain, **fields}


def test_how_others_are_asked() -> None:
    """A JSON schema with the labels in it; a base model by a number; and nobody where there are no choices."""
    schema = orjson.loads(CHAT.encode(JUDGED, replace(UNSTREAMED, choices="json_schema")))["response_format"]
    assert schema["json_schema"]["strict"] is True
    assert schema["json_schema"]["schema"]["properties"]["choice"]["enum"] == ["A", "B", "C"]
    assert asked("logprobs", LABELS, is_chat=False) == {"logprobs": 20}
    spec = replace(UNSTREAMED, choices="structured_outputs")
    assert CHAT.encode(ASKED, spec) == CHAT.encode(ASKED, UNSTREAMED)


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("A", [token("A", A=0.6, B=0.3, C=0.1)], {"A": 0.6, "B": 0.3, "C": 0.1}),
        ("A", [token("A", A=0.3, B=0.15, Yes=0.5)], {"A": 0.667, "B": 0.333, "C": 0.0}),
        (" A", [token(" A", _A=0.5, A=0.1, B=0.4)], {"A": 0.6, "B": 0.4, "C": 0.0}),
        ("A", [token("\n", A=0.1), token("A", A=0.5, B=0.5)], {"A": 0.5, "B": 0.5, "C": 0.0}),
        ("B.", [token("B.", **{"B.": 0.5, "B": 0.25, "A": 0.25})], {"A": 0.25, "B": 0.75, "C": 0.0}),
        ("A", [token("A", A=0.5, Apples=0.3, B=0.5)], {"A": 0.5, "B": 0.5, "C": 0.0}),
        ("A", [token("A", A=0.9, B=0.1), token("<|im_end|>", A=0.1)], {"A": 0.9, "B": 0.1, "C": 0.0}),
        ("B", [token("Hm A?", A=1.0), token("B", B=0.8, A=0.2)], {"A": 0.2, "B": 0.8, "C": 0.0}),
        (
            '{"choice": "B"}',
            [token('{"choice": "'), token("B", B=0.75, A=0.25), token('"}')],
            {"A": 0.25, "B": 0.75, "C": 0.0},
        ),
        (
            '{"choice":"B"}',
            [token('{"choice":'), Token('"B"', {'"B"': math.log(0.6), '"A"': math.log(0.2), "A": 0.0}), token("}")],
            {"A": 0.25, "B": 0.75, "C": 0.0},
        ),
        ("Apples", [token("Apples", Apples=0.9, A=0.1)], None),
        ("A", [], None),
        ("", [token("A", A=1.0)], None),
        ("A", [token("A", A=0.001, Well=0.999)], None),
        ("B", [token("A", A=1.0)], None),
    ],
)
def test_the_deciding_token(text: str, tokens: list[Token], expected: dict[str, float] | None) -> None:
    """Blanks, punctuation, JSON and thinking before it are seen through; what does not decide tells nothing."""
    assert rounded(probabilities(text, tokens, LABELS)) == expected


def test_words_that_begin_alike() -> None:
    """The token that tells them apart decides, not the one that they share."""
    tokens = [token("lo", lo=0.9, win=0.1), token("ss", ss=0.7, st=0.3)]
    assert rounded(probabilities("loss", tokens, WORDS)) == {"win": 0.0, "loss": 0.7, "lost": 0.3, "tie": 0.0}


@given(
    st.lists(st.tuples(st.text(max_size=4), st.dictionaries(st.text(max_size=4), st.floats(-20, 5))), max_size=5),
    st.text(max_size=6),
)
def test_probabilities_are_a_distribution_or_nothing(written: list[tuple[str, dict[str, float]]], text: str) -> None:
    """Whatever the tokens, shares are from 0 to 1 and make 1 together."""
    told = probabilities(text, [Token(*each) for each in written], LABELS)
    assert told is None or (set(told) == set(LABELS) and math.isclose(sum(told.values()), 1.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"choice": "A"}', "A"),
        (' {"choice":"A"} ', "A"),
        ('{"choice": "A"', '{"choice": "A"'),
        ('{"choice": 7}', '{"choice": 7}'),
        ('{"verdict": "A"}', '{"verdict": "A"}'),
        ("A", "A"),
    ],
)
def test_a_choice_out_of_its_json(text: str, expected: str) -> None:
    """Only the shape that was asked for is opened."""
    assert unwrapped(text) == expected


def told(text: str, **p: float) -> dict[str, Any]:
    rivals = [{"token": name, "logprob": math.log(share)} for name, share in p.items()]
    return {"content": [{"token": text, "logprob": math.log(p[text]), "top_logprobs": rivals}]}


def test_a_judged_chat_streamed_or_not() -> None:
    """The record has the probabilities, and none where nobody asked for a choice."""
    choice = {"finish_reason": "stop", "message": {"content": "A"}, "logprobs": told("A", A=0.6, B=0.4)}
    reply = raw({"choices": [choice]})
    assert rounded(dict(CHAT.decode(reply, JUDGED, UNSTREAMED).choice_p or {})) == {"A": 0.6, "B": 0.4, "C": 0.0}
    assert CHAT.decode(reply, ASKED, UNSTREAMED).choice_p is None
    chunk = delta(content="A")
    chunk["choices"][0]["logprobs"] = told("A", A=0.6, B=0.4)
    streamed = format_of(SPEC).assembler(SPEC)
    for event in (chunk, delta("stop")):
        streamed.take(orjson.dumps(event))
    assert CHAT.decode(raw(streamed.body()), JUDGED, SPEC).choice_p is not None
    assert completed([chunk, delta("stop"), DONE]).choice_p is None


def test_a_judged_completion_streamed_or_not() -> None:
    """The same in the shape that base models answer in."""
    logprobs = {"tokens": ["B"], "token_logprobs": [math.log(0.7)], "top_logprobs": [{"A": math.log(0.3)}]}
    choice = {"index": 0, "finish_reason": "stop", "text": "B", "logprobs": logprobs}
    streamed = format_of(PLAIN).assembler(PLAIN)
    streamed.take(orjson.dumps({"choices": [choice]}))
    for body in ({"choices": [choice]}, streamed.body()):
        said = COMPLETIONS.decode(raw(body), JUDGED, PLAIN).choice_p
        assert rounded(dict(said or {})) == {"A": 0.3, "B": 0.7, "C": 0.0}


JUNK: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "token", "logprob", "top_logprobs", "tokens", "token_logprobs", "A"]), inner
        )
    ),
    max_leaves=12,
)


@given(JUNK)
def test_junk_for_log_probabilities_is_none(junk: object) -> None:
    """Whatever stands there, it is read as tokens with finite numbers or not at all."""
    for tokens in (chat_tokens(junk), plain_tokens(junk)):
        assert all(math.isfinite(number) for each in tokens for number in each.alternatives.values())
