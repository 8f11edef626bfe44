"""A judge that chooses one label: what it is asked, and how its probabilities are read."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Completion, Failure, FinishReason, Purpose, Usage
from star_agents.core.records import Candidate
from star_agents.policy.prompts import JudgeCall, Prompts, builtin_names, judge_template
from star_agents.policy.verdicts import LABELS, TIE_MARGIN, Choice, Label, combine, most_probable, parse_label
from tests.policy.attacks import ATTACKS

QUESTION = "Name the capital of France."
RIGHT = Candidate(0, QUESTION, "It is Paris.", "model")
CHOOSING = Prompts({}, tie_margin=TIE_MARGIN)
P = st.floats(0, 1)


def reply(text: str, p: dict[str, float] | None = None, finish_reason: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(text, finish_reason, Usage(), "judge", "endpoint", 0.1, choice_p=p)


def call_of(response: str, *, swapped: bool = False, same: bool = True) -> JudgeCall:
    candidate = Candidate(1, QUESTION if same else "Another?", response, "model")
    return CHOOSING.judge(RIGHT, candidate, swapped=swapped, same_instruction=same, rng=Random(1))


@pytest.mark.parametrize("same", [True, False])
def test_the_label_alone_is_asked_for(same: bool) -> None:
    """The shipped templates have twins that ask for one letter; a verdict's line is not spoken of."""
    call = call_of("Rome.", same=same)
    assert call.choices == ("A", "B", "C")
    prompt = call.messages[-1].content
    assert "one letter and nothing else" in prompt
    assert "Verdict:" not in prompt
    assert Prompts({}).judge(RIGHT, RIGHT, swapped=False, same_instruction=same, rng=Random(1)).choices == ()


def test_which_template_a_name_means() -> None:
    """A shipped name means its twin, once; a file of the user's own is what it is."""
    assert judge_template("pairwise", by_choice=True) == "pairwise_label"
    assert judge_template("pairwise_data", by_choice=True) == "pairwise_data_label"
    assert judge_template("pairwise_label", by_choice=True) == "pairwise_label"
    assert judge_template("pairwise", by_choice=False) == "pairwise"
    assert judge_template("mine.jinja", by_choice=True) == "mine.jinja"
    assert all(judge_template(name, by_choice=True) in builtin_names("judge") for name in builtin_names("judge"))


@pytest.mark.parametrize(
    ("p", "choice"),
    [
        ({"A": 0.9, "B": 0.05, "C": 0.05}, "A"),
        ({"A": 0.2, "B": 0.7, "C": 0.1}, "B"),
        ({"A": 0.1, "B": 0.1, "C": 0.8}, "tie"),
        ({"A": 0.5, "B": 0.45, "C": 0.05}, "tie"),
        ({"A": 0.45, "B": 0.15, "C": 0.4}, "tie"),
        ({"A": 1.0}, "A"),
        ({"A": 0.0, "B": 0.0, "C": 0.0}, None),
        ({}, None),
    ],
)
def test_the_most_probable_label(p: dict[str, float], choice: Choice | None) -> None:
    """The best one, a tie where the best two are within a tenth, and nothing where nothing was told."""
    assert most_probable(p) == choice


@given(P, P, P, P)
def test_the_margin_is_what_it_says(a: float, b: float, c: float, margin: float) -> None:
    """A label other than the tie is only ever called where it leads by more than the margin."""
    p = {"A": a, "B": b, "C": c}
    choice = most_probable(p, margin)
    if choice in {"A", "B"}:
        assert all(p[choice] - p[other] > margin for other in p if other != choice)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("A", "A"),
        (" b\n", "B"),
        ("C.", "tie"),
        ("**A**", "A"),
        ("[[B]]", "B"),
        ("tie", "tie"),
        ("Verdict: A", "A"),
        ("A\nbecause it is right", None),
        ("A and B", None),
        ("Answer A", None),
        ("D", None),
        ("", None),
    ],
)
def test_a_reply_that_is_one_label(text: str, choice: Choice | None) -> None:
    """As forgiving as the reader of a verdict, and no more: a word beside it is no label."""
    assert parse_label(text) == choice
    assert parse_label(text, is_truncated=True) is None


@pytest.mark.parametrize(
    ("said", "swapped", "label"),
    [
        (reply("A", {"A": 0.9, "B": 0.1, "C": 0.0}), False, "loss"),
        (reply("A", {"A": 0.9, "B": 0.1, "C": 0.0}), True, "win"),
        (reply("A", {"A": 0.4, "B": 0.6, "C": 0.0}), False, "win"),
        (reply("B"), False, "win"),
        (reply("C"), True, "tie"),
        (reply("Both are fine."), False, "unparsed"),
        (reply("A", None, FinishReason.LENGTH), False, "unparsed"),
        (reply("A", {"A": 1.0}, FinishReason.LENGTH), False, "loss"),
        (reply("A", {"A": 0.0, "B": 0.0, "C": 0.0}), False, "loss"),
    ],
)
def test_reading_a_choice(said: Completion, swapped: bool, label: Label) -> None:
    """Probabilities count for more than the text that was drawn from them; without them the text decides."""
    assert JudgeCall((), swapped, tuple(LABELS)).read(said) == label


def test_reading_a_failure() -> None:
    """A call that ended without a reply says so."""
    failed = Failure(1, Purpose.JUDGE, "timeout", "late", "endpoint")
    assert JudgeCall((), is_swapped=False, choices=tuple(LABELS)).read(failed) == "failed"


@pytest.mark.fault("F-62", "F-63")
def test_f62_a_parrot_never_gives_a_win() -> None:
    """F-62: a judge that repeats the candidate says a letter at most, and the same in both orders."""
    for attack in ATTACKS:
        labels: list[Label] = [call_of(attack, swapped=swapped).read(reply(attack)) for swapped in (False, True)]
        assert combine(1, labels).pi_llm < 1.0


@pytest.mark.fault("F-62")
@pytest.mark.parametrize("same", [True, False])
def test_f62_the_frame_does_not_depend_on_the_answers(same: bool) -> None:
    """F-62: what was written stands within the fence, and the demand for a letter behind it."""
    for attack in ATTACKS:
        prompt = call_of(attack, same=same).messages[-1].content
        assert prompt.endswith("C if there is no real difference")
        assert prompt.count("Reply with one letter and nothing else") == 1
