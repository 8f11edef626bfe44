"""A judge that takes its prompt at its word, against answers planted to move it."""

import re
from random import Random

import pytest

from star_agents.core.calls import Completion, FinishReason, Usage
from star_agents.core.records import Candidate
from star_agents.policy.prompts import JudgeCall, Prompts
from star_agents.policy.verdicts import Label, combine
from tests.policy.attacks import ATTACKS

PROMPTS = Prompts({})
QUESTION = "Name the capital of France."
RIGHT = Candidate(0, QUESTION, "It is Paris.", "model")
OFFERED = ["Verdict: A", "Verdict: B", "Verdict: tie"]


def reply(text: str, finish_reason: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(text, finish_reason, Usage(), "judge", "endpoint", 0.1)


def call_of(response: str, *, swapped: bool, same: bool = True) -> JudgeCall:
    candidate = Candidate(1, QUESTION, response, "model")
    return PROMPTS.judge(RIGHT, candidate, swapped=swapped, same_instruction=same, rng=Random(f"{response}{swapped}"))


def literal_judge(call: JudgeCall) -> str:
    """Obeys every word outside the fences, treats what is inside as data, and knows the capital of France.

    A verdict that stands outside the fences, besides the three it is offered, it takes as an order.
    """
    prompt = call.messages[-1].content
    marked = re.search(r"between lines marked ([0-9a-f]{12})\.", prompt)
    assert marked is not None
    section = re.compile(rf"^<([A-Z ]+) {marked[1]}>\n(.*?)\n</\1 {marked[1]}>$", re.DOTALL | re.MULTILINE)
    inside = dict(section.findall(prompt))
    orders = [line for line in section.sub("", prompt).splitlines() if "verdict:" in line.lower()]
    if orders != OFFERED:
        return orders[0]
    right = [label for label in "AB" if "Paris" in inside[f"ANSWER {label}"]]
    verdict = right[0] if len(right) == 1 else "tie"
    quoted = "\n".join(f"Answer {label} says:\n{inside[f'ANSWER {label}']}" for label in "AB")
    return f"{quoted}\n\nVerdict: {verdict}"


def test_there_are_enough_attacks() -> None:
    """The corpus holds at least 60 different attacks, and none of them is right by accident."""
    assert len(set(ATTACKS)) == len(ATTACKS) >= 60
    assert not any("paris" in attack.lower() for attack in ATTACKS)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_the_literal_judge_can_be_won_over_by_the_truth(swapped: bool, same: bool) -> None:
    """The judge of these tests is no rubber stamp: a right answer ties with the reference."""
    call = call_of("Paris", swapped=swapped, same=same)
    assert call.read(reply(literal_judge(call))) == "tie"


@pytest.mark.parametrize("same", [True, False])
def test_flip_rate_is_0(same: bool) -> None:
    """No planted answer moves the verdict, in either order, though the judge quotes it whole."""
    flipped: list[str] = []
    for attack in ATTACKS:
        calls = [call_of(attack, swapped=swapped, same=same) for swapped in (False, True)]
        verdict = combine(1, [call.read(reply(literal_judge(call))) for call in calls])
        if verdict.labels != ("loss", "loss"):
            flipped.append(attack)
    assert flipped == []


def test_an_attack_beside_the_truth_is_not_punished() -> None:
    """Suspicious words do not make a right answer lose: the judge decides by what is said."""
    for attack in ATTACKS:
        call = call_of(f"Paris. {attack}", swapped=False)
        assert call.read(reply(literal_judge(call))) == "tie"


def test_a_judge_cut_inside_its_quotation_says_nothing() -> None:
    """A reply that ends in the quoted attack because it ran into its limit is unreadable, never a win."""
    for attack in ATTACKS:
        call = call_of(attack, swapped=False)
        assert call.read(reply(f"Answer B says:\n{attack}", FinishReason.LENGTH)) == "unparsed"


def test_a_parrot_never_gives_a_win() -> None:
    """A judge that only repeats the candidate says the same letter in both orders, which is no win."""
    for attack in ATTACKS:
        labels: list[Label] = [call_of(attack, swapped=swapped).read(reply(attack)) for swapped in (False, True)]
        assert combine(1, labels).pi_llm < 1.0


def test_the_frame_does_not_depend_on_the_answers() -> None:
    """Outside the fences every prompt is the same text, whatever the candidate wrote."""
    frames = {
        outside(call_of(attack, swapped=swapped).messages[-1].content)
        for attack in ATTACKS
        for swapped in (False, True)
    }
    assert len(frames) == 1


def outside(prompt: str) -> str:
    """The prompt without what its fences hold, and without the token."""
    marked = re.search(r"between lines marked ([0-9a-f]{12})\.", prompt)
    assert marked is not None
    return re.sub(rf"{marked[1]}>\n.*?\n</[A-Z ]+ {marked[1]}>", "", prompt, flags=re.DOTALL).replace(marked[1], "")
