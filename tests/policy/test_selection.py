import math

import pytest

from star_agents.core.records import (
    Grade,
    ModelScore,
    Outcome,
    RowSource,
    Scores,
    ScoreStatus,
    Seed,
    Selection,
    Settled,
    Verdict,
    VerdictSource,
)
from star_agents.policy.selection import Fallback, GradeOptions, SelectOptions, gap, gaps, grade, select
from tests.policy.sets import SEED, answer, failure, ifd, scores, settled, verdicts

STRICT = GradeOptions()


def test_gap_is_small_minus_large() -> None:
    """The numerator of Eq. 5; it may be negative."""
    assert gap(Scores(ifd(0.75), ifd(0.25))) == 0.5
    assert gap(Scores(ifd(0.25), ifd(0.75))) == -0.5


def test_gap_of_a_truncated_score() -> None:
    """A score over the head of a long text is still a number."""
    assert gap(Scores(ifd(0.75, ScoreStatus.TRUNCATED), ifd(0.25))) == 0.5


def test_gap_without_a_large_model() -> None:
    """With the small model alone the gap is its IFD."""
    assert gap(Scores(ifd(0.7))) == 0.7


@pytest.mark.parametrize(
    "unknown",
    [ifd(None, ScoreStatus.EMPTY), ifd(0.5, ScoreStatus.ERROR), ifd(math.nan), ifd(math.inf), ifd(None)],
)
def test_gap_needs_every_number(unknown: ModelScore) -> None:
    """One missing number makes the gap unknown."""
    assert gap(Scores(unknown, ifd(0.5))) is None
    assert gap(Scores(ifd(0.5), unknown)) is None
    assert gap(Scores(unknown)) is None


def test_equations_5_to_7_by_hand() -> None:
    """Gaps are divided by the seed's largest, base included, clipped at 0, and multiplied by the verdict."""
    item = settled([answer(slot) for slot in range(4)])
    grades = grade(item, scores({0: 0.4, 1: 0.8, 2: 0.2, 3: -0.1}), verdicts({1: 0.5, 2: 1.0, 3: 1.0}), STRICT)
    assert grades == (
        Grade(0, gap=0.4, pi_dual=0.5, pi_llm=0.5, pi=0.25),
        Grade(1, gap=0.8, pi_dual=1.0, pi_llm=0.5, pi=0.5),
        Grade(2, gap=0.2, pi_dual=0.25, pi_llm=1.0, pi=0.25),
        Grade(3, gap=-0.1, pi_dual=0.0, pi_llm=1.0, pi=0.0),
    )
    assert select(item, grades, SelectOptions()) == Selection(RowSource.CANDIDATE, 1, 0.5)


@pytest.mark.parametrize("top", [0.0, -0.3])
def test_without_a_positive_gap_everything_is_0(top: float) -> None:
    """Dividing by a largest gap that is not positive would turn the order round, so every pi_dual is 0."""
    item = settled([answer(0), answer(1)])
    grades = grade(item, scores({0: -0.5, 1: top}), verdicts({1: 1.0}), STRICT)
    assert [one.pi_dual for one in grades] == [0.0, 0.0]
    assert [one.pi for one in grades] == [0.0, 0.0]


def test_the_batch_may_set_the_scale() -> None:
    """With `largest` given, Eq. 5 divides by that instead of the seed's own."""
    item = settled([answer(0), answer(1)])
    grades = grade(item, scores({0: 0.25, 1: 0.5}), verdicts({1: 1.0}), STRICT, largest=2.0)
    assert [one.pi for one in grades] == [0.0625, 0.25]


def test_a_gap_of_0_needs_no_verdict() -> None:
    """What the judge never said of a candidate does not matter where its pi_dual is 0: pi is known."""
    item = settled([answer(0), answer(1)])
    assert grade(item, scores({0: 0.5, 1: 0.0}), {}, STRICT)[1] == Grade(1, gap=0.0, pi_dual=0.0, pi=0.0)


def test_what_is_not_known_is_none_with_its_reason() -> None:
    """A failure, a response without a score and one without a verdict each say why there is no pi."""
    item = settled([answer(0), failure(1), answer(2), answer(3), answer(4), answer(5)])
    marks = scores({0: 0.5, 2: None, 4: 0.25}) | {5: Scores(ifd(0.5), ifd(math.nan))}
    grades = grade(item, marks, verdicts({2: 1.0}), STRICT)
    assert grades[1:] == (
        Grade(1, reason="timeout"),
        Grade(2, pi_llm=1.0, reason="too_short"),
        Grade(3, reason="not_scored"),
        Grade(4, gap=0.25, pi_dual=0.5, reason="not_judged"),
        Grade(5, reason="not_finite"),
    )


def test_a_cut_answer_earns_0_and_sets_no_scale() -> None:
    """A response that ran into its token limit has pi 0 and is left out of the largest gap."""
    item = settled([answer(0), answer(1, cut=True), answer(2)])
    marks = scores({0: 0.25, 1: 4.0, 2: 0.5})
    assert gaps(item, marks, STRICT) == {0: 0.25, 2: 0.5}
    grades = grade(item, marks, verdicts({1: 1.0, 2: 1.0}), STRICT)
    assert grades[1] == Grade(1, gap=4.0, pi_dual=0.0, pi_llm=1.0, pi=0.0, reason="truncated")
    assert grades[2].pi_dual == 1.0
    assert select(item, grades, SelectOptions()).slot == 2


def test_a_cut_answer_may_be_allowed() -> None:
    """With `allow_truncated` it competes like any other."""
    item = settled([answer(0), answer(1, cut=True)])
    grades = grade(item, scores({0: 0.25, 1: 0.5}), verdicts({1: 1.0}), GradeOptions(allow_truncated=True))
    assert select(item, grades, SelectOptions()) == Selection(RowSource.CANDIDATE, 1, 1.0)


def test_a_verdict_by_rule_overrides_the_half_of_the_base() -> None:
    """A base that was judged by rule keeps that verdict."""
    item = settled([answer(0, "...")])
    rule = {0: Verdict(0, 0.0, VerdictSource.RULE)}
    assert grade(item, scores({0: 0.5}), rule, STRICT)[0].pi == 0.0


def test_the_base_competes() -> None:
    """A base candidate with the highest pi is the row."""
    item = settled([answer(0), answer(1)])
    grades = grade(item, scores({0: 0.5, 1: 0.3}), verdicts({1: 0.5}), STRICT)
    assert select(item, grades, SelectOptions()) == Selection(RowSource.BASE, 0, 0.5)


def test_ties_go_to_the_higher_dual() -> None:
    """Of equal pi the one with the larger gap is taken, here the base against a won comparison."""
    item = settled([answer(0), answer(1)])
    grades = grade(item, scores({0: 0.5, 1: 0.25}), verdicts({1: 1.0}), STRICT)
    assert [one.pi for one in grades] == [0.5, 0.5]
    assert select(item, grades, SelectOptions()).slot == 0


def test_ties_go_to_the_lower_slot() -> None:
    """Of equals in everything the first is taken."""
    item = settled([answer(0), answer(1), answer(2)])
    grades = grade(item, scores({0: 0.1, 1: 0.5, 2: 0.5}), verdicts({1: 1.0, 2: 1.0}), STRICT)
    assert select(item, grades, SelectOptions()).slot == 1


def test_weak_rows_are_dropped() -> None:
    """A best pi below `min_score` leaves no row, and the record keeps it with the reason; equal to it is enough."""
    item = settled([answer(0)])
    grades = grade(item, scores({0: 0.5}), {}, STRICT)
    dropped = Selection(RowSource.DROPPED, pi=0.5, reason="below_min_score")
    assert select(item, grades, SelectOptions(min_score=0.6)) == dropped
    assert select(item, grades, SelectOptions(min_score=0.5)).source is RowSource.BASE


def zeros(item: Settled) -> tuple[Grade, ...]:
    """Grades of a set in which nobody has a positive gap."""
    return grade(item, scores({one.slot: -1.0 for one in item.candidates()}), {}, STRICT)


BASE_ROW = Selection(RowSource.BASE, 0, 0.0, "no_positive_pi")
SEED_ROW = Selection(RowSource.SEED, reason="no_positive_pi")


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [("base", BASE_ROW), ("seed", SEED_ROW), ("drop", Selection(RowSource.DROPPED, reason="no_positive_pi"))],
)
def test_fallback(fallback: Fallback, expected: Selection) -> None:
    """Where every pi is 0 the row is the base pair's, the seed's own, or none."""
    item = settled([answer(0), answer(1)])
    assert select(item, zeros(item), SelectOptions(fallback=fallback)) == expected


def test_fallback_to_the_second_base() -> None:
    """The first base pair that left something fit to train on is taken."""
    item = settled([failure(0), answer(1), answer(2)], num_base=2)
    assert select(item, zeros(item), SelectOptions()).slot == 1


@pytest.mark.parametrize("base", [failure(0), answer(0, cut=True), answer(0, "?!"), answer(0, SEED.question)])
def test_no_base_falls_back_to_the_seed(base: Outcome) -> None:
    """A base that failed, was cut or says nothing is no fallback; the seed as it was is next."""
    item = settled([base, answer(1)])
    assert select(item, zeros(item), SelectOptions()) == SEED_ROW


@pytest.mark.parametrize("fallback", ["base", "seed"])
def test_no_fallback_left(fallback: Fallback) -> None:
    """Without a usable base and with a seed that has no response there is no row."""
    item = settled([failure(0)], seed=Seed(0, "Do it.", " "))
    expected = Selection(RowSource.DROPPED, reason="no_fallback")
    assert select(item, zeros(item), SelectOptions(fallback=fallback)) == expected


def test_a_fallback_counts_as_0() -> None:
    """With a `min_score` above 0 a seed without a positive pi leaves no row."""
    item = settled([answer(0)])
    expected = Selection(RowSource.DROPPED, pi=0.0, reason="below_min_score")
    assert select(item, zeros(item), SelectOptions(min_score=0.1)) == expected
