"""Ceilings: whatever is set aside and settled in whatever order, the run does not overspend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.budget import NO_COST, PICODOLLARS, Budget, Cost

COSTS = st.builds(Cost, st.integers(0, 5000), st.integers(0, PICODOLLARS // 10))


@given(
    st.none() | st.floats(0.01, 2.0),
    st.none() | st.integers(1, 20_000),
    st.lists(st.tuples(COSTS, COSTS, st.booleans()), max_size=60),
)
def test_no_ceiling_is_passed_but_by_what_went_beyond_its_worst_case(
    usd: float | None, tokens: int | None, calls: list[tuple[Cost, Cost, bool]]
) -> None:
    """Spent and set aside together stay below, however calls overlap; nothing stays set aside in the end."""
    budget, out, beyond = Budget(usd, tokens), list[tuple[Cost, Cost]](), NO_COST
    for worst, actual, comes_back in calls:
        if budget.reserve(worst):
            out.append((worst, actual))
        if comes_back and out:
            declared, took = out.pop(0)
            budget.settle(declared, took)
            over = took - declared
            beyond += Cost(max(0, over.tokens), max(0, over.picodollars))
        taken = budget.spent + budget.reserved
        assert tokens is None or taken.tokens <= tokens + beyond.tokens
        assert usd is None or taken.picodollars <= usd * PICODOLLARS + 1 + beyond.picodollars
    for worst, actual in out:
        budget.settle(worst, actual)
    assert budget.reserved == NO_COST


def test_what_was_never_set_aside_cannot_be_returned() -> None:
    """A second return of the same money is a mistake that shows at once."""
    budget = Budget(tokens=100)
    assert budget.reserve(Cost(60))
    budget.settle(Cost(60), Cost(10))
    with pytest.raises(ValueError, match="was not set aside"):
        budget.settle(Cost(60), Cost(10))


def test_what_was_spent_before_counts() -> None:
    """An earlier start's spending is below the same ceiling."""
    budget = Budget(tokens=100, spent=Cost(80))
    assert not budget.reserve(Cost(21))
    assert budget.reserve(Cost(20))


def test_either_ceiling_alone_holds() -> None:
    """Tokens may be left when the dollars are gone, and the other way round."""
    assert not Budget(usd=1.0, tokens=100).reserve(Cost(1, PICODOLLARS + 1))
    assert not Budget(usd=1.0, tokens=100).reserve(Cost(101, 1))
    assert Budget().reserve(Cost(10**12, PICODOLLARS * 10**6))


def test_how_many_more_are_afforded() -> None:
    """Room over expected cost, less those that are under way; without a ceiling, or for nothing, any number."""
    budget = Budget(tokens=1000, spent=Cost(300))
    assert budget.reserve(Cost(100))
    assert budget.affords(Cost(100), besides=2) == 4
    assert budget.affords(Cost(100), besides=9) == 0
    assert budget.affords(NO_COST, besides=9) is None
    assert Budget().affords(Cost(100), besides=9) is None
    assert Budget(usd=1.0, tokens=1000).affords(Cost(100, PICODOLLARS // 4), besides=0) == 4
