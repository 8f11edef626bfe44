"""The report on scores: counts that add up, and quantiles within half a per cent."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.service.scores.summary import ScoreTally, quantile


def row(ifd: float | None, tokens: int, status: str = "ok") -> dict[str, Any]:
    return {"small": {"status": status, "ifd": ifd, "n_response_tokens": tokens}}


@given(st.lists(st.floats(1e-6, 50.0), min_size=1, max_size=60))
def test_quartiles_are_those_of_the_scores(ifds: list[float]) -> None:
    """The value of rank ceil(share * n), to half a step of the grid."""
    tally = ScoreTally()
    for ifd in ifds:
        tally.add(row(ifd, 30))
    ((line,),) = tally.report()["ifd"].values()
    ranked = sorted(ifds)
    for name, share in {"q1": 0.25, "median": 0.5, "q3": 0.75}.items():
        assert line[name] == pytest.approx(ranked[math.ceil(share * len(ranked)) - 1], rel=0.0026)


def test_rows_are_counted_by_status_and_length() -> None:
    """Every row in one bin of length if it has a score; those without are counted all the same."""
    tally = ScoreTally()
    for tokens in (1, 5, 6, 1000, 1001, 90_000):
        tally.add(row(0.5, tokens))
    tally.add(row(None, 0, "empty"))
    tally.add(row(0.0, 3, "truncated"))
    report = tally.report()
    assert report["rows"] == 8
    assert report["status"] == {"small": {"empty": 1, "ok": 6, "truncated": 1}}
    counts = {line["tokens"]: line["rows"] for line in report["ifd"]["small"]}
    assert counts == {"1-5": 3, "6-10": 1, "501-1000": 1, "1001+": 2}


def test_of_nothing_there_is_no_quantile() -> None:
    """Rather an error than a number."""
    with pytest.raises(ValueError, match="quantile"):
        quantile(Counter(), 0.5)
