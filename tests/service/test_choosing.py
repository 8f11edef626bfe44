"""Which rows are chosen: against the plain way of doing it, on rows of every sort."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.service.scores.choosing import NEEDS_LARGE, Ranking, Rule, Selection, Top, parse_top

IFDS = st.none() | st.sampled_from([0.25, 0.5, 0.5, 0.75, 1.0, 1.5]) | st.floats(0.0, 3.0)


@st.composite
def scored_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of scores, of which some have none under one model or both."""
    rows = []
    for number in range(draw(st.integers(0, 30))):
        small, large = draw(IFDS), draw(IFDS)
        rows.append(
            {
                "number": number,
                "small": score(small, draw(st.integers(1, 20)), draw(st.floats(1.0, 9.0))),
                "large": score(large, 5, 1.0),
                "gap": None if small is None or large is None else small - large,
            }
        )
    return rows


def score(ifd: float | None, tokens: int, ppl: float) -> dict[str, Any]:
    status = "error" if ifd is None else "ok"
    return {"status": status, "ifd": ifd, "n_response_tokens": tokens, "ppl_cond": None if ifd is None else ppl}


def chosen(rows: list[dict[str, Any]], selection: Selection) -> list[int]:
    ranking = Ranking(selection)
    for row in rows:
        ranking.add(row)
    choice = ranking.choose()
    assert len(choice.numbers) + sum(choice.left_out.values()) == len(rows)
    return list(map(int, choice.numbers))


def plainly(rows: list[dict[str, Any]], rule: Rule, top: int, min_tokens: int) -> list[int]:
    """The same by the words of docs/score.md."""
    if rule in NEEDS_LARGE:
        fit = [row for row in rows if row["gap"] is not None]
    else:
        fit = [row for row in rows if row["small"]["ifd"] is not None]
    fit = [row for row in fit if row["small"]["n_response_tokens"] >= min_tokens]
    if rule is Rule.IFD:
        fit = [row for row in fit if row["small"]["ifd"] < 1.0]
    if rule is Rule.DUAL:
        fit = [row for row in fit if row["gap"] > 0.0]
    value: Callable[[dict[str, Any]], float] = {
        Rule.DUAL: lambda row: row["gap"],
        Rule.GAP: lambda row: row["gap"],
        Rule.IFD: lambda row: row["small"]["ifd"],
        Rule.PPL: lambda row: row["small"]["ppl_cond"],
    }[rule]
    best = sorted(fit, key=lambda row: (-value(row), row["number"]))[:top]
    return sorted(row["number"] for row in best)


@given(scored_rows(), st.sampled_from(Rule), st.integers(1, 40), st.integers(0, 15))
def test_the_best_rows_are_chosen(rows: list[dict[str, Any]], rule: Rule, top: int, min_tokens: int) -> None:
    """By every rule; every row is chosen, or counted among those that were left out, once."""
    selection = Selection(rule=rule, top=Top(count=top), min_tokens=min_tokens)
    assert chosen(rows, selection) == plainly(rows, rule, top, min_tokens)


@given(scored_rows(), st.sampled_from(Rule), st.integers(1, 20), st.integers(0, 20))
def test_a_smaller_choice_is_part_of_a_larger_one(rows: list[dict[str, Any]], rule: Rule, top: int, more: int) -> None:
    """Also where values are equal."""
    few, many = (chosen(rows, Selection(rule=rule, top=Top(count=count))) for count in (top, top + more))
    assert set(few) <= set(many)


def test_rows_left_out_are_counted_by_reason() -> None:
    """No score by status and model, too short, worth nothing, and not good enough."""
    rows = [
        {"number": 0, "small": score(None, 9, 1.0), "large": score(0.5, 9, 1.0), "gap": None},
        {"number": 1, "small": score(0.9, 9, 1.0), "large": score(None, 9, 1.0), "gap": None},
        {"number": 2, "small": score(0.9, 3, 1.0), "large": score(0.1, 3, 1.0), "gap": 0.8},
        {"number": 3, "small": score(0.5, 9, 1.0), "large": score(0.5, 9, 1.0), "gap": 0.0},
        {"number": 4, "small": score(0.9, 9, 1.0), "large": score(0.1, 9, 1.0), "gap": 0.8},
        {"number": 5, "small": score(0.9, 9, 1.0), "large": score(0.2, 9, 1.0), "gap": 0.7},
    ]
    ranking = Ranking(Selection(rule=Rule.DUAL, top=Top(count=1), min_tokens=5))
    for row in rows:
        ranking.add(row)
    choice = ranking.choose()
    assert list(choice.numbers) == [4]
    assert choice.left_out == {
        "no score under small: error": 1,
        "no score under large: error": 1,
        "response shorter than 5 tokens": 1,
        "gap of 0 or less": 1,
        "not among the top 1": 1,
    }


@pytest.mark.parametrize(
    ("text", "num_rows", "expected"),
    [
        ("10%", 52_002, 5_200),
        ("100%", 7, 7),
        ("0.7%", 1000, 7),
        ("0.29%", 10_000, 29),
        ("5000", 10, 5000),
        ("5%", 10, 0),
    ],
)
def test_top_is_a_number_or_a_share(text: str, num_rows: int, expected: int) -> None:
    """A share is of all rows of the data set, reckoned exactly and rounded down."""
    assert parse_top(text).of(num_rows) == expected


@pytest.mark.parametrize("text", ["", "0", "-5", "0%", "101%", "ten", "10 %x", "1e3", "%", "5.5"])
def test_any_other_top_is_refused(text: str) -> None:
    """With both ways to say it."""
    with pytest.raises(ValueError, match=r"\(5000\).*\(10%\)"):
        parse_top(text)
