"""Lazy judging asks less and selects the same (docs/algorithm.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from star_agents.core.records import (
    Outcome,
    Scores,
    Settled,
    Verdict,
    VerdictSource,
)
from star_agents.policy.selection import GradeOptions, SelectOptions, gaps, grade, next_to_judge, select
from star_agents.policy.verdicts import rule_verdicts
from tests.policy.sets import answer, failure, scores, settled, verdicts


@dataclass(frozen=True)
class Case:
    """A settled seed with its scores, and what the judge would say if asked."""

    item: Settled
    scores: Mapping[int, Scores]
    truth: Mapping[int, float]


OUTCOMES = st.sampled_from(["whole", "whole", "whole", "cut", "failed", "contentless"])
GAPS = st.one_of(st.sampled_from([None, -0.5, 0.0, 0.1, 0.2, 0.4, 0.8]), st.floats(-1.0, 2.0))


def outcome(slot: int, kind: str) -> Outcome:
    if kind == "failed":
        return failure(slot)
    return answer(slot, "..." if kind == "contentless" else "", cut=kind == "cut")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sets of up to eight slots; gaps and verdicts come from few values, so ties are common."""
    kinds = draw(st.lists(OUTCOMES, min_size=1, max_size=8))
    num_base = draw(st.integers(0, min(2, len(kinds))))
    item = settled([outcome(slot, kind) for slot, kind in enumerate(kinds)], num_base=num_base)
    slots = [candidate.slot for candidate in item.candidates()]
    marks = {slot: draw(GAPS) for slot in slots if draw(st.integers(0, 9))}
    return Case(item, scores(marks), {slot: draw(st.sampled_from([0.0, 0.5, 1.0])) for slot in slots})


def judged_lazily(case: Case, options: GradeOptions) -> tuple[dict[int, Verdict], list[int]]:
    """The verdicts lazy judging ends with, and the slots it asked about, in order."""
    known = rule_verdicts(case.item)
    found = gaps(case.item, case.scores, options)
    asked: list[int] = []
    while (slot := next_to_judge(found, known)) is not None:
        asked.append(slot)
        known[slot] = Verdict(slot, case.truth[slot], VerdictSource.JUDGE)
    return known, asked


OPTIONS = st.builds(
    SelectOptions, fallback=st.sampled_from(["base", "seed", "drop"]), min_score=st.sampled_from([0.0, 0.25, 0.5])
)


@settings(max_examples=1000)
@given(cases(), OPTIONS, st.booleans(), st.one_of(st.none(), st.floats(2.0, 50.0)))
@example(
    # Two gaps that become one number when divided by 3: only the gaps themselves still tell them apart.
    Case(
        settled([answer(0), answer(1), answer(2)]),
        scores({0: 0.0, 1: 0.10000000000000003, 2: 0.10000000000000005}),
        {1: 1.0, 2: 1.0},
    ),
    SelectOptions(),
    False,
    3.0,
)
def test_lazy_selects_what_all_selects(
    case: Case, selecting: SelectOptions, allow_truncated: bool, largest: float | None
) -> None:
    """The selected row, its pi and its reason are identical to judging everything; so is every pi that is known."""
    grading = GradeOptions(allow_truncated=allow_truncated)
    known, asked = judged_lazily(case, grading)
    everything = verdicts(case.truth) | rule_verdicts(case.item)
    lazy = grade(case.item, case.scores, known, grading, largest=largest)
    complete = grade(case.item, case.scores, everything, grading, largest=largest)
    assert select(case.item, lazy, selecting) == select(case.item, complete, selecting)
    assert all(one.pi in (None, other.pi) for one, other in zip(lazy, complete, strict=True))
    assert len(set(asked)) == len(asked)
    found = gaps(case.item, case.scores, grading)
    assert [found[slot] for slot in asked] == sorted((found[slot] for slot in asked), reverse=True)
    assert all(found[slot] > 0 for slot in asked)


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        ({}, {}, None),
        ({1: 0.5, 2: 0.7}, {}, 2),
        ({1: 0.5, 2: 0.5}, {}, 1),
        ({1: 0.0, 2: -0.5}, {}, None),
        ({0: 0.8, 1: 0.5}, {0: 0.5}, 1),
        ({0: 0.8, 1: 0.4}, {0: 0.5}, None),
        ({0: 0.8, 1: 0.39}, {0: 0.5}, None),
        ({1: 0.5, 2: 0.5}, {2: 1.0}, 1),
        ({1: 0.5, 2: 0.5}, {1: 1.0}, None),
        ({1: 0.5, 2: 0.1}, {1: 0.0}, 2),
        ({1: 0.5}, {1: 0.5, 2: 1.0}, None),
    ],
    ids=[
        "nobody",
        "largest gap first",
        "lower slot first",
        "nothing to gain",
        "can beat the base",
        "ties with the base",
        "below the base",
        "ties a winner from a lower slot",
        "ties a winner from a higher slot",
        "after a loss",
        "a verdict on what does not compete",
    ],
)
def test_whom_to_ask_next(found: dict[int, float], known: dict[int, float], expected: int | None) -> None:
    """Ask in order of falling gap, while a win would still take the row."""
    assert next_to_judge(found, verdicts(known)) == expected
