"""What a judge's reply says, and what needs no judge (Eq. 6).

Law: a verdict is read from one place: the judge's own last line, which must be a verdict and nothing else, or,
where the judge is asked for a label alone, the probabilities of the labels, or a reply that is one label and nothing
else. No text of a candidate, wherever it stands in a reply, is ever searched for one.
"""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from star_agents.core.records import Settled, Verdict, VerdictSource
from star_agents.policy.injection import suspicions

Choice = Literal["A", "B", "tie"]
Label = Literal["win", "loss", "tie", "unparsed", "failed"]
"""What one asked order said of the candidate; `failed` is a call that ended without a reply."""

BASE_BETTER, TIE, CANDIDATE_BETTER = 0.0, 0.5, 1.0
"""The values of pi_llm."""

LABELS: Mapping[str, Choice] = {"A": "A", "B": "B", "C": "tie"}
"""What a judge that chooses is offered, and what it means: single letters, because each is one token everywhere."""
TIE_MARGIN = 0.1
"""Where the two most probable labels are no further apart than this, it is a tie."""

_OPENERS = frozenset({
    "thought process",
    "lets solve this problem step by step",
    "lets think step by step",
    "let me think step by step",
    "lets break this down step by step",
    "here is the answer",
    "here is my answer",
    "here is the solution",
    "heres the answer",
    "heres the solution",
    "sure here is the answer",
    "sure heres the answer",
    "sure here is the best possible answer",
    "certainly here is the answer",
    "certainly here is the solution",
    "certainly heres the solution",
    "the answer is",
    "the final answer is",
    "thought process lets solve this problem step by step solution",
})  # fmt: skip
"""What announces an answer and gives none, without its marks: keys of arXiv 2507.08794, and courtesies."""

_LONGEST_OPENER = 80
_SHAPELESS = "\u115f\u1160\u2800\u3164\uffa0"
"""Hangul fillers and the empty braille cell: letters and symbols to Unicode, nothing to the eye."""

_DECORATION = str.maketrans("", "", "*_`~#>\"'[](){}")
_VERDICT = re.compile(r"(?:final )?verdict ?[:=] ?(a|b|tie)[.!]?")
_LABEL = re.compile(r"(?:(?:final )?verdict ?[:=] ?)?(a|b|c|tie)[.!]?")
_CHOICES: dict[str, Choice] = {"a": "A", "b": "B", "c": "tie", "tie": "tie"}
_READABLE = frozenset({"win", "loss", "tie"})
BOTH_ORDERS = 2
_AGREED = {"win": CANDIDATE_BETTER, "loss": BASE_BETTER}


def parse_verdict(text: str, *, is_truncated: bool = False) -> Choice | None:
    """Read the last line that is not blank, as a whole: `Verdict: A`, `Verdict: B` or `Verdict: tie`.

    Case, markdown emphasis, quotes, brackets and a full stop are forgiven; a word more is not. A reply
    that was cut has no last line of its own: what stands there may be a quotation.
    """
    lines = text.split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    found = _VERDICT.fullmatch(_plain(last))
    return None if found is None or is_truncated else _CHOICES[found[1]]


def parse_label(text: str, *, is_truncated: bool = False) -> Choice | None:
    """Read a whole reply that is to be one of `LABELS`; as forgiving as `parse_verdict`, and no more."""
    found = _LABEL.fullmatch(_plain(text))
    return None if found is None or is_truncated else _CHOICES[found[1]]


def _plain(text: str) -> str:
    return " ".join(text.translate(_DECORATION).split()).lower()


def most_probable(label_p: Mapping[str, float], margin: float = TIE_MARGIN) -> Choice | None:
    """The choice that the probabilities of `LABELS` speak for, a tie where the best two are within `margin`.

    None where no label has a probability.
    """
    ranked = sorted(((label_p.get(label, 0.0), label) for label in LABELS), reverse=True)
    (best, label), (second, _) = ranked[:2]
    if best <= 0.0:
        return None
    return "tie" if best - second <= margin else LABELS[label]


def combine(slot: int, labels: Sequence[Label]) -> Verdict:
    """The verdict from one order or from both: a win or a loss only where every asked order says so, else a tie.

    An order that was not readable, or not answered, makes a tie and is named as the source.

    Raises:
        ValueError: no order was asked.
    """
    if not labels:
        raise ValueError(f"slot {slot} was not judged")
    agreed = labels[0] if len(set(labels)) == 1 else "tie"
    source = VerdictSource.JUDGE
    if "failed" in labels:
        source = VerdictSource.FAILED
    elif "unparsed" in labels:
        source = VerdictSource.UNPARSED
    return Verdict(slot, _AGREED.get(agreed, TIE), source, tuple(labels))


def leaning(labels: Sequence[str]) -> Literal["agreed", "first", "second"] | None:
    """The place that a judge leant to, where its two orders disagree; None unless both could be read.

    In the straight order the candidate stands second, in the swapped one first. A tie beside a win or a loss leans
    as well: whatever two labels differ, one place was called better at least once and the other never.
    """
    if len(labels) != BOTH_ORDERS or not _READABLE.issuperset(labels):
        return None
    straight, swapped = labels
    if straight == swapped:
        return "agreed"
    return "second" if straight == "win" or swapped == "loss" else "first"


def is_contentless(response: str, question: str) -> bool:
    """True for a response that no judge need see: blank, marks alone, an opener alone, or the question again.

    Lone punctuation and lone openers ("Thought process:") are known to win over judges (arXiv 2507.08794). Letters,
    digits and symbols of any script are content; ASCII marks such as `=` or `|` and letters without a shape are not.
    Openers of one word are left to the judge: they may be the answer.
    """
    if not any(_is_content(char) for char in response):
        return True
    said = " ".join(response.split()).casefold()
    return said == " ".join(question.split()).casefold() or _bare(said) in _OPENERS


def _is_content(char: str) -> bool:
    return unicodedata.category(char)[0] not in "PZC" and char not in string.punctuation and char not in _SHAPELESS


def _bare(said: str) -> str:
    """The words of a short response without their marks; a long one is no opener."""
    if len(said) > _LONGEST_OPENER:
        return said
    return " ".join("".join(char if char.isalnum() else "" if char in "'\u2019" else " " for char in said).split())


def rule_verdicts(settled: Settled) -> dict[int, Verdict]:
    """Verdicts that stand before any judge is asked, by slot; every other candidate is the judge's.

    A contentless response loses, and so does a contentless base. The base itself has 0.5, and so has
    everybody where no base candidate came: there is nothing to compare with.
    """
    has_reference = settled.reference() is not None
    standing: dict[int, Verdict] = {}
    for candidate in settled.candidates():
        if is_contentless(candidate.response, candidate.instruction):
            standing[candidate.slot] = Verdict(candidate.slot, BASE_BETTER, VerdictSource.RULE)
        elif settled.plan.slots[candidate.slot].is_base:
            standing[candidate.slot] = Verdict(candidate.slot, TIE, VerdictSource.BASE)
        elif not has_reference:
            standing[candidate.slot] = Verdict(candidate.slot, TIE, VerdictSource.NO_REFERENCE)
    return standing


def with_suspicions(settled: Settled, verdicts: Mapping[int, Verdict]) -> dict[int, Verdict]:
    """The verdicts with what is suspect in each response that has one, the base's too: the judge reads both."""
    responses = {candidate.slot: candidate.response for candidate in settled.candidates()}
    return {
        slot: replace(verdict, suspicions=found) if (found := suspicions(responses[slot])) else verdict
        for slot, verdict in verdicts.items()
    }
