"""The comparisons behind the tables of precision and parity, on lists whose truth is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.ranks import bin_of, quantile, ranks, relative, spearman
from bench.parity import by_length, compare
from bench.precision import first, in_order, pi_duals

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=12)


def test_ties_have_their_mean_rank() -> None:
    """As Spearman's correlation has it."""
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [3.5, 1.0, 3.5, 2.0]


def test_spearman_of_a_published_example() -> None:
    """Without ties it is 1 - 6 sum(d^2) / (n (n^2 - 1))."""
    one, two = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    assert spearman(one, two) == pytest.approx(1 - 6 * 4 / (5 * 24))


@given(VALUES)
def test_order_is_all_that_counts(values: list[float]) -> None:
    """A rising function keeps the correlation at 1; a falling one makes it -1, unless all are equal."""
    assert spearman(values, [value**3 + 1 for value in values]) == pytest.approx(1)
    if len(set(values)) > 1:
        assert spearman(values, [-value for value in values]) == pytest.approx(-1)


def test_all_tied_is_no_order_of_another() -> None:
    """And the same as itself."""
    assert spearman([1.0, 1.0], [1.0, 2.0]) == 0
    assert spearman([1.0, 1.0], [4.0, 4.0]) == 1


def test_quantiles_are_values_of_the_list() -> None:
    """The least value that such a share does not exceed."""
    values = [float(number) for number in range(1, 21)]
    assert [quantile(values, share) for share in (0.0, 0.05, 0.5, 0.95, 1.0)] == [1, 1, 10, 19, 20]


def test_bins_and_relative_differences() -> None:
    """A bin has its upper end; nothing compares with 0 but 0."""
    assert [bin_of(length, (1, 5)) for length in (1, 2, 5, 6)] == ["1", "2..5", "2..5", "6.."]
    assert (relative(0.5, 1.0), relative(0.0, 0.0), relative(1.0, 0.0)) == (0.5, 0.0, 1.0)


def test_pi_dual_is_within_a_set() -> None:
    """Over the set's largest gap; all 0 where none is positive; unknown stays unknown."""
    assert pi_duals([2.0, -1.0, 1.0, -3.0, -1.0, None], [3, 3]) == [[1.0, 0.0, 0.5], [0.0, 0.0, None]]
    assert first([None, 0.2, 0.4]) == 2


def test_parts_come_back_in_order() -> None:
    """Short responses first, then the others: each result goes to its sample's place."""
    assert in_order([2, 0, 1], ["c", "a", "b"]) == ["a", "b", "c"]


def golden(**changes: object) -> dict[str, object]:
    return {"id": "x", "ppl_alone": 4.0, "ppl_cond": 2.0, "ifd": 0.5, "n_scored_cond": 7, "truncated": False, **changes}


def ours(**changes: object) -> dict[str, object]:
    return {"status": "ok", "ppl_alone": 4.0, "ppl_cond": 2.0, "ifd": 0.5, **changes}


def test_parity_finds_the_largest_difference_of_each_number() -> None:
    """By number, over all rows that both have scored."""
    found = compare("superfiltering_m_x", [golden(), golden()], {0: ours(), 1: ours(ppl_cond=2.2, ifd=0.55)})
    assert found.worst == {"ppl_alone": 0.0, "ppl_cond": pytest.approx(0.1), "ifd": pytest.approx(0.1)}
    assert (found.numbers, found.disagreements) == (6, ())
    assert [length for length, _ in found.ifd_errors] == [7, 7]
    assert [error for _, error in found.ifd_errors] == [0.0, pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("theirs", "own", "agrees"),
    [
        (golden(ifd="nan"), ours(status="empty", ifd=None), True),
        (golden(ifd="nan"), ours(), False),
        (golden(), ours(status="too_short", ifd=None), False),
        (golden(truncated=True), ours(), False),
        (golden(truncated=True), ours(status="truncated"), True),
    ],
)
def test_parity_wants_the_same_rows_without_a_score(
    theirs: dict[str, object], own: dict[str, object], agrees: bool
) -> None:
    """And the same responses cut; a row of ours that is missing is a disagreement like any other."""
    assert (compare("superfiltering_m_x", [theirs], {0: own}).disagreements == ()) is agrees
    assert compare("superfiltering_m_x", [golden()], {}).disagreements == ("x",)


def test_errors_are_shown_by_length() -> None:
    """Few rows have a maximum and no median."""
    lines = by_length([(1, 0.5), (30, 0.1), (40, 0.2), (50, 0.3)])
    assert [(line["tokens"], line["rows"], line["median"], line["max"]) for line in lines] == [
        ("1..2", 1, "", "50.00%"),
        ("21..50", 3, "20.00%", "30.00%"),
        ("all", 4, "25.00%", "50.00%"),
    ]
