"""What a judge's reply says, and what needs no judge (Eq. 6).

Law: a verdict is read from one place: the judge's own last line, which must be a verdict and nothing else, or,
where the judge is asked for a label alone, the probabilities of the labels, or a reply that is one label and nothing
else. No text of a candidate, wherever it stands in a reply, is ever searched for one.
"""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

from star_agents.core.records import Settled, Verdict, VerdictSource

Choice = Literal["A", "B", "tie"]
Label = Literal["win", "loss", "tie", "unparsed", "failed"]
"""What one asked order said of the candidate; `failed` is a call that ended without a reply."""

BASE_BETTER, TIE, CANDIDATE_BETTER = 0.0, 0.5, 1.0
"""The values of pi_llm."""

LABELS: Mapping[str, Choice] = {"A": "A", "B": "B", "C": "tie"}
"""What a judge that chooses is offered, and what it means: single letters, because each is one token everywhere."""
TIE_MARGIN = 0.1
"""Where the two most probable labels are no further apart than this, it is a tie."""

_DECORATION = str.maketrans("", "", "*_`~#>\"'[](){}")
_VERDICT = re.compile(r"(?:final )?verdict ?[:=] ?(a|b|tie)[.!]?")
_LABEL = re.compile(r"(?:(?:final )?verdict ?[:=] ?)?(a|b|c|tie)[.!]?")
_CHOICES: dict[str, Choice] = {"a": "A", "b": "B", "c": "tie", "tie": "tie"}
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


def is_contentless(response: str, question: str) -> bool:
    """True for a response that no judge need see: blank, marks alone, or the question again.

    Lone punctuation is known to win over judges (arXiv 2507.08794). Letters, digits and symbols of any
    script are content; ASCII marks such as `=` or `|` are not.
    """
    if not any(unicodedata.category(mark)[0] not in "PZC" and mark not in string.punctuation for mark in response):
        return True
    return " ".join(response.split()).casefold() == " ".join(question.split()).casefold()


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
