from hypothesis import given
from hypothesis import strategies as st

from star_agents.scoring.packing import pack, unpack

lengths_of_items = st.lists(st.integers(0, 500), max_size=60)
budgets = st.integers(1, 2000)


@given(lengths_of_items, budgets)
def test_every_item_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    """Nothing is lost and nothing is run twice."""
    assert sorted(index for batch in pack(lengths, budget) for index in batch) == list(range(len(lengths)))


@given(lengths_of_items, budgets)
def test_no_batch_is_over_budget_unless_one_item_alone_is(lengths: list[int], budget: int) -> None:
    """A batch costs its longest item times its members."""
    for batch in pack(lengths, budget):
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(lengths_of_items, budgets)
def test_the_longest_come_first(lengths: list[int], budget: int) -> None:
    """What does not fit in memory is met in the first batch, not the last."""
    order = [lengths[index] for batch in pack(lengths, budget) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(lengths_of_items, budgets)
def test_unpack_restores_the_order(lengths: list[int], budget: int) -> None:
    """Results come back in the order of the items."""
    batches = pack(lengths, budget)
    assert unpack(batches, [[lengths[index] for index in batch] for batch in batches]) == lengths
