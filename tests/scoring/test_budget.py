"""Laws of what a batch may cost, whatever fits and whatever fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.scoring.budget import TokenBudget

Told = tuple[int, int, float | None]
"""Longest sequence, tokens, and the share of memory; None where the batch failed."""

stories = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 5000), st.one_of(st.none(), st.floats(0, 1.2))), max_size=40
)
starts = st.integers(1, 5000)


def tell(budget: TokenBudget, longest: int, tokens: int, share: float | None) -> None:
    if share is None:
        budget.failed(longest, tokens)
    else:
        budget.fitted(longest, tokens, share)


@given(starts, starts, stories)
def test_always_between_one_and_the_ceiling(start: int, ceiling: int, story: list[Told]) -> None:
    """In every bin, after whatever happened."""
    budget = TokenBudget(start, ceiling)
    for told in story:
        tell(budget, *told)
        assert all(1 <= budget.allowed(longest) <= ceiling for longest in (1, told[0], 300))


@pytest.mark.fault("F-55")
@given(starts, stories, st.integers(1, 300), st.integers(1, 5000), stories)
def test_what_failed_is_never_tried_again(
    start: int, before: list[Told], longest: int, tokens: int, after: list[Told]
) -> None:
    """Not more than half of it, in its bin."""
    budget = TokenBudget(start, 5000)
    for told in before:
        tell(budget, *told)
    budget.failed(longest, tokens)
    for told in after:
        tell(budget, *told)
    assert budget.allowed(longest) <= max(1, tokens // 2)


@given(starts, stories)
def test_one_bin_tells_nothing_of_another(start: int, story: list[Told]) -> None:
    """Long sequences may take more memory a token than short ones."""
    budget = TokenBudget(start, 10_000)
    for longest, tokens, share in story:
        tell(budget, longest, tokens, share)
    assert budget.allowed(5000) == start


@given(stories)
def test_ever_more_failures_end_at_one(story: list[Told]) -> None:
    """Twelve halvings of 4096, wherever it had come to."""
    budget = TokenBudget(4096, 4096)
    for told in story:
        tell(budget, *told)
    for _ in range(12):
        budget.failed(100, budget.allowed(100))
    assert budget.allowed(100) == 1


def test_it_doubles_while_there_is_room_for_twice_as_much() -> None:
    """A batch that was nearly full and took 0.3 of the memory; one that took half, or was small, changes nothing."""
    budget = TokenBudget(1000, 3000)
    budget.fitted(100, 400, 0.1)
    budget.fitted(100, 1000, 0.5)
    assert budget.allowed(100) == 1000
    budget.fitted(100, 900, 0.3)
    assert budget.allowed(100) == 2000
    budget.fitted(100, 1900, 0.4)
    assert budget.allowed(100) == 3000
