"""Laws of packs before any tensor: nothing is lost, nothing is computed twice, nobody sees what is not theirs."""

from hypothesis import given
from hypothesis import strategies as st

from star_agents.scoring.forest import Forest, common_prefix, grow
from star_agents.scoring.sight import looks

few_ids = st.lists(st.integers(0, 2), min_size=1, max_size=14).map(tuple)
sequence_lists = st.lists(few_ids, max_size=10)
worths = st.integers(1, 5)


def ids_of(forest: Forest) -> list[int]:
    return [token for segment in forest.segments for token in segment.ids]


@given(sequence_lists, worths)
def test_every_sequence_is_a_way_through_the_forest(sequences: list[tuple[int, ...]], worth: int) -> None:
    """The rows of a sequence hold its tokens in its order, and parents come before children."""
    forest = grow(sequences, worth)
    rows, ids = forest.rows(), ids_of(forest)
    assert [tuple(ids[row] for row in way) for way in rows] == sequences
    assert all(segment.parent is None or segment.parent < index for index, segment in enumerate(forest.segments))


@given(sequence_lists, worths)
def test_a_segment_knows_its_position(sequences: list[tuple[int, ...]], worth: int) -> None:
    """Its first token has as many before it as its ancestors have together, and it is not empty."""
    forest = grow(sequences, worth)
    for index, segment in enumerate(forest.segments):
        before = [forest.segments[step] for step in forest.chain(index)[:-1]]
        assert segment.offset == sum(len(each.ids) for each in before)
        assert segment.ids


@given(sequence_lists)
def test_every_token_is_computed_once(sequences: list[tuple[int, ...]]) -> None:
    """Where every beginning is worth sharing, the forest has as many tokens as there are distinct beginnings."""
    beginnings = {each[:length] for each in sequences for length in range(1, len(each) + 1)}
    assert len(ids_of(grow(sequences, 1))) == len(beginnings)


@given(sequence_lists, st.integers(2, 5))
def test_a_little_in_common_is_not_worth_a_segment(sequences: list[tuple[int, ...]], worth: int) -> None:
    """A segment that others go on from has at least `worth` tokens; sequences that share less have none in common."""
    forest = grow(sequences, worth)
    parents = {segment.parent for segment in forest.segments}
    assert all(len(forest.segments[parent].ids) >= worth for parent in parents if parent is not None)


@given(few_ids, few_ids)
def test_what_two_begin_with(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    """The longest beginning that is the same."""
    length = common_prefix(one, two)
    assert one[:length] == two[:length]
    assert one[length : length + 1] != two[length : length + 1] or length == min(len(one), len(two))


@given(sequence_lists, worths, st.one_of(st.none(), st.integers(1, 16)), st.one_of(st.none(), st.integers(1, 6)))
def test_a_token_sees_its_own_sequence_up_to_itself(
    sequences: list[tuple[int, ...]], worth: int, window: int | None, block: int | None
) -> None:
    """As rows: the last `window` tokens of the sequence, itself last, however queries are cut into blocks."""
    forest = grow(sequences, worth)
    seen: dict[int, list[int]] = {}
    for look in looks(forest, window, block):
        keys = [row for part in look.keys for row in range(*part)]
        for number, query in enumerate(range(*look.queries)):
            visible = keys[: len(keys) - look.num_queries + number + 1]
            assert query not in seen
            seen[query] = visible[-window:] if window else visible
    ways = {way[at]: way[: at + 1] for way in forest.rows() for at in range(len(way))}
    assert seen == {row: way[-window:] if window else way for row, way in ways.items()}


@given(sequence_lists, worths, st.integers(1, 16), st.integers(1, 6))
def test_a_masked_look_is_no_larger_than_its_block(
    sequences: list[tuple[int, ...]], worth: int, window: int, block: int
) -> None:
    """So no mask is larger than (block, window + block)."""
    for look in looks(grow(sequences, worth), window, block):
        if look.num_queries != look.num_keys or look.num_keys > window:
            assert look.num_queries <= block
            assert look.num_keys < window + block
