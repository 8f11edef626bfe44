from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import (
    AgentPair,
    Graded,
    PairTally,
    RowSource,
    Selection,
    Tally,
    Verdict,
    VerdictSource,
)
from star_agents.policy.tally import count, start
from star_agents.policy.verdicts import leaning
from tests.policy.sets import answer, failure, graded, pairs, settled

BASE, *POOL = pairs(3)

pis = st.lists(st.one_of(st.none(), st.floats(0.0, 1.0)), min_size=1, max_size=4)
seeds = st.builds(lambda values, share: graded(values, winner=int(share * len(values))), pis, st.floats(0.0, 0.99))


def test_a_run_begins_at_nothing() -> None:
    """Every pair is there from the start, base pairs first, and none has a mean yet."""
    tally = start([BASE], POOL)
    assert tally == Tally((PairTally(BASE), PairTally(POOL[0]), PairTally(POOL[1])))
    assert tally.pairs[0].mean_pi is None


def test_draws_wins_and_means() -> None:
    """A draw without a known pi counts as a draw and not in the mean."""
    tally = count(start([BASE], POOL), [graded([0.5, 0.25, None], winner=1), graded([0.5, 0.75], winner=1)])
    assert tally.pairs[1] == PairTally(POOL[0], draws=2, graded=2, wins=2, pi_sum=1.0)
    assert tally.pairs[1].mean_pi == 0.5
    assert tally.pairs[2] == PairTally(POOL[1], draws=1)


def test_a_pair_it_does_not_know() -> None:
    """A pair of an earlier config is added at the end."""
    assert count(Tally(()), [graded([0.5])]).pairs == (PairTally(BASE, draws=1, graded=1, pi_sum=0.5),)


def test_events() -> None:
    """Rows by source, drops and failures by reason, verdicts by source and label."""
    item = Graded(
        settled([answer(0), failure(1)]),
        scores={},
        verdicts={0: Verdict(0, 0.5, VerdictSource.UNPARSED, ("win", "unparsed"))},
        grades=graded([0.5, None]).grades,
        selection=Selection(RowSource.DROPPED, reason="below_min_score"),
    )
    assert count(Tally(()), [item]).events == {
        "drop.below_min_score": 1,
        "failure.timeout": 1,
        "judge.asked": 1,
        "row.dropped": 1,
        "verdict.label.unparsed": 1,
        "verdict.label.win": 1,
        "verdict.unparsed": 1,
    }
    kept = replace(item, selection=Selection(RowSource.BASE, 0, 0.5), verdicts={})
    assert count(count(Tally(()), [item]), [kept]).events["failure.timeout"] == 2


@given(st.lists(seeds, max_size=8), st.integers(0, 8))
def test_counting_is_a_fold(log: list[Graded], cut: int) -> None:
    """Counting in two batches is counting in one."""
    begin = start([BASE], [AgentPair("keep", "unused")])
    assert count(count(begin, log[:cut]), log[cut:]) == count(begin, log)


def test_what_is_told_of_the_judge() -> None:
    """Comparisons asked and spared, whether orders agree or where they lean, and suspect answers, those taken apart."""
    item = Graded(
        settled([answer(0), answer(1), answer(2), answer(3), answer(4), failure(5)]),
        scores={},
        verdicts={
            0: Verdict(0, 0.5, VerdictSource.BASE, suspicions=("role",)),
            1: Verdict(1, 1.0, VerdictSource.JUDGE, ("win", "win"), ("verdict", "command")),
            2: Verdict(2, 0.5, VerdictSource.JUDGE, ("win", "loss")),
            3: Verdict(3, 0.5, VerdictSource.JUDGE, ("loss", "tie")),
        },
        grades=graded([0.5, 1.0, 0.5, 0.5, None, None]).grades,
        selection=Selection(RowSource.CANDIDATE, 1, 1.0),
    )
    told = {name: count for name, count in count_events(item).items() if name[0] in "ji"}
    assert told == {
        "judge.asked": 3,
        "judge.spared": 1,
        "judge.orders.agreed": 1,
        "judge.orders.first": 1,
        "judge.orders.second": 1,
        "injection_suspect": 2,
        "injection_suspect.selected": 1,
        "injection_suspect.role": 1,
        "injection_suspect.verdict": 1,
        "injection_suspect.command": 1,
    }


def count_events(item: Graded) -> Mapping[str, int]:
    return count(Tally(()), [item]).events


@pytest.mark.fault("F-63")
@pytest.mark.parametrize(
    ("labels", "side"),
    [
        (("win", "win"), "agreed"),
        (("tie", "tie"), "agreed"),
        (("win", "loss"), "second"),
        (("win", "tie"), "second"),
        (("tie", "loss"), "second"),
        (("loss", "win"), "first"),
        (("loss", "tie"), "first"),
        (("tie", "win"), "first"),
        (("win",), None),
        (("win", "unparsed"), None),
        (("failed", "win"), None),
    ],
)
def test_f63_the_place_a_judge_leans_to(labels: tuple[str, ...], side: str | None) -> None:
    """F-63: the candidate stands second in the straight order and first in the swapped one."""
    assert leaning(labels) == side
