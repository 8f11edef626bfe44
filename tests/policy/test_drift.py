"""The watch over the judge: it sees a decline, keeps quiet about chance, and does not flutter."""

from functools import reduce
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import ProbeTally
from star_agents.policy.drift import DriftOptions, binomial_p, fisher_p, observe

USUAL = DriftOptions()


def watched(outcomes: list[bool], options: DriftOptions = USUAL, begun: ProbeTally | None = None) -> ProbeTally:
    return reduce(lambda tally, right: observe(tally, is_right=right, options=options), outcomes, begun or ProbeTally())


def drawn(rng: Random, accuracy: float, count: int) -> list[bool]:
    return [rng.random() < accuracy for _ in range(count)]


@pytest.mark.parametrize(
    ("right", "asked", "first_right", "first_asked", "p"),
    [
        (1, 10, 11, 14, 0.00137972),
        (0, 3, 3, 3, 0.05),
        (3, 3, 3, 3, 1.0),
        (0, 0, 5, 10, 1.0),
        (3, 10, 10, 10, 0.0015480),
    ],
)
def test_fisher(right: int, asked: int, first_right: int, first_asked: int, p: float) -> None:
    """The lady tasting tea's kin, by the tables."""
    assert fisher_p(right, asked, first_right, first_asked) == pytest.approx(p, rel=1e-4)


def test_binomial() -> None:
    """Ten throws of a fair coin."""
    assert binomial_p(2, 10, 0.5) == pytest.approx(56 / 1024)
    assert binomial_p(10, 10, 0.3) == pytest.approx(1.0)


def test_a_judge_that_goes_bad_is_found() -> None:
    """From 95 % right to 50 %: within 50 probes, once, and the state says what it was at the start."""
    rng = Random(1)
    for _ in range(20):
        before = watched(drawn(rng, 0.95, 200))
        after = watched(drawn(rng, 0.5, 50), begun=before)
        assert (before.is_alarmed, after.is_alarmed, after.alarms) == (False, True, 1)
        assert after.first_asked == USUAL.window


def test_a_decline_above_the_bound_is_found() -> None:
    """A perfect judge that becomes one of 85 % never falls under the bound for good, and is not what it was."""
    rng = Random(2)
    found = sum(
        watched(drawn(rng, 1.0, 100) + drawn(rng, 0.8, 200), DriftOptions(min_accuracy=0.5)).alarms > 0
        for _ in range(20)
    )
    assert found >= 18


def test_a_steady_judge_raises_no_alarm() -> None:
    """Of 50 runs of 700 probes (70,000 seeds at 1 %) with a judge of 95 %, hardly one is alarmed."""
    rng = Random(3)
    assert sum(watched(drawn(rng, 0.95, 700)).alarms for _ in range(50)) <= 1


def test_a_judge_that_was_never_good_is_found_early() -> None:
    """Ten probes are enough to see that a judge of chance is none, long before the window is full."""
    assert watched([False, True] * 3 + [False] * 6).is_alarmed
    assert not watched([True] * 5 + [False]).is_alarmed


def test_the_alarm_is_taken_back_with_a_margin() -> None:
    """On the border it neither comes and goes: it stays until the window is well above the bound."""
    options = DriftOptions(window=20, min_accuracy=0.8)
    alarmed = watched([True] * 20 + [False] * 5, options)
    assert alarmed.is_alarmed
    border = watched([True] * 16 + [False] * 4, options, alarmed)
    assert sum(border.recent) == 16
    assert border.is_alarmed
    well = watched([True] * 20, options, border)
    assert (well.is_alarmed, well.alarms) == (False, 1)


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 80))
def test_watching_is_a_fold(outcomes: list[bool], cut: int) -> None:
    """A resumed run goes on where it stopped; counts are counts."""
    options = DriftOptions(window=10)
    whole = watched(outcomes, options)
    assert watched(outcomes[cut:], options, watched(outcomes[:cut], options)) == whole
    assert (whole.asked, whole.right) == (len(outcomes), sum(outcomes))
    assert whole.recent == tuple(outcomes[-10:])
    assert (whole.first_asked, whole.first_right) == (len(outcomes[:10]), sum(outcomes[:10]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("was", "becomes"), [(0.99, 0.99), (0.95, 0.95), (0.9, 0.9), (0.99, 0.8), (0.95, 0.7), (0.95, 0.5), (0.9, 0.5)]
)
def test_figures(was: float, becomes: float) -> None:
    """How often a steady judge is alarmed in 700 probes, and how soon one that gets worse after 200 (pytest -s)."""
    rng, runs, delays = Random(4), 100, []
    for _ in range(runs):
        tally = watched(drawn(rng, was, 200))
        for delay in range(500):
            if tally.is_alarmed:
                delays.append(delay)
                break
            tally = observe(tally, is_right=rng.random() < becomes, options=USUAL)
    median = sorted(delays)[len(delays) // 2] if delays else None
    print(f"{was} -> {becomes}: alarmed {len(delays) / runs:.0%}, median after {median} probes")  # noqa: T201  # with pytest -s
    assert (len(delays) <= 0.1 * runs) if was == becomes else (len(delays) >= 0.9 * runs)
