from hypothesis import given
from hypothesis import strategies as st

from star_agents.scoring.forest import grow
from star_agents.scoring.packing import pack_padded, pack_shared, unpack

lengths_of_items = st.lists(st.integers(0, 500), max_size=60)
sequence_lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30).map(tuple), max_size=20)
budgets = st.integers(1, 2000)


def shrinking(budget: int) -> dict[int, int]:
    """A budget that falls with the longest sequence, as one does that has failed."""
    return {length: max(1, budget - 3 * length) for length in range(501)}


@given(lengths_of_items, budgets)
def test_every_item_is_in_exactly_one_padded_batch(lengths: list[int], budget: int) -> None:
    """Nothing is lost and nothing is run twice."""
    batches = pack_padded(lengths, shrinking(budget).__getitem__)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


@given(lengths_of_items, budgets)
def test_no_padded_batch_is_over_budget_unless_one_item_alone_is(lengths: list[int], budget: int) -> None:
    """A batch costs its longest item times its members."""
    allowed = shrinking(budget)
    for batch in pack_padded(lengths, allowed.__getitem__):
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= allowed[longest]


@given(lengths_of_items, budgets)
def test_the_longest_come_first(lengths: list[int], budget: int) -> None:
    """What does not fit in memory is met in the first padded batch, not the last."""
    order = [lengths[index] for batch in pack_padded(lengths, lambda _: budget) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(sequence_lists, budgets)
def test_every_item_is_in_exactly_one_pack(sequences: list[tuple[int, ...]], budget: int) -> None:
    """Nothing is lost and nothing is run twice."""
    batches = pack_shared(sequences, shrinking(budget).__getitem__)
    assert sorted(index for batch in batches for index in batch) == list(range(len(sequences)))


@given(sequence_lists, st.integers(1, 200))
def test_no_pack_is_over_budget_unless_one_item_alone_is(sequences: list[tuple[int, ...]], budget: int) -> None:
    """A pack costs the tokens of its forest."""
    allowed = shrinking(budget)
    for batch in pack_shared(sequences, allowed.__getitem__):
        tokens = sum(len(segment.ids) for segment in grow([sequences[index] for index in batch]).segments)
        assert len(batch) == 1 or tokens <= allowed[max(len(sequences[index]) for index in batch)]


def test_candidates_of_one_prompt_lie_together() -> None:
    """However they came in, so that their prompt is computed once."""
    prompts = [tuple(range(number, number + 20)) for number in (100, 200)]
    sequences = [(*prompts[number % 2], number) for number in range(10)]
    assert [len(batch) for batch in pack_shared(sequences, lambda _: 41)] == [5, 5]


@given(lengths_of_items, budgets)
def test_unpack_restores_the_order(lengths: list[int], budget: int) -> None:
    """Results come back in the order of the items."""
    batches = pack_padded(lengths, lambda _: budget)
    assert unpack(batches, [[lengths[index] for index in batch] for batch in batches]) == lengths
