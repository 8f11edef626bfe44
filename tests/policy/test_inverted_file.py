import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.policy import inverted_file
from star_agents.policy.inverted_file import Codes, InvertedFile, codes_of

CAPACITY = 64
COPIED = 3


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that split and are given up within a few steps, and queries that do not see everything."""
    monkeypatch.setattr(inverted_file, "CELL_ROWS", 8)
    monkeypatch.setattr(inverted_file, "SPARSE", 3)
    monkeypatch.setattr(inverted_file, "SCANNED", 16)


def codes(rng: np.random.Generator, ndim: int = 6) -> Codes:
    return codes_of(rng.normal(size=ndim))


def held(index: InvertedFile) -> dict[int, bytes]:
    """What the cells hold; fails where a vector is held twice, or not where the index thinks it is."""
    found = {}
    for home, cell in enumerate(index._cells):
        for row in range(cell.size):
            key = int(cell.keys[row])
            assert key not in found
            assert index._homes[key] == home
            found[key] = cell.codes[row].tobytes()
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, CAPACITY - 1), max_size=300), st.integers(0, 1000))
def test_it_holds_what_was_added_and_not_removed(small_cells: None, keys: list[int], chance: int) -> None:
    """Whatever is added, removed and added again: every vector is held once, and no cell is full or sparse."""
    rng = np.random.default_rng(chance)
    index, expected = InvertedFile(6, CAPACITY), dict[int, bytes]()
    pinned = [codes(rng) for _ in range(COPIED)]  # many vectors are equal
    for key in keys:
        if key in expected:
            index.remove(key)
            del expected[key]
        else:
            vector = pinned[key % COPIED] if key % 2 else codes(rng)
            index.add(key, vector)
            expected[key] = vector.tobytes()
        assert held(index) == expected
        assert len(index) == len(expected)
        sizes = [cell.size for cell in index._cells]
        assert max(sizes) < 8
        assert len(sizes) == 1 or min(sizes) >= 2


def test_equal_vectors_split_like_others(small_cells: None) -> None:
    """A thousand copies of one vector fill cell after cell, and all can be removed again."""
    index, vector = InvertedFile(4, 1000), codes(np.random.default_rng(1), 4)
    for key in range(1000):
        index.add(key, vector)
    similarities, found = index.nearest(vector, 10)
    assert len(found) >= 10
    assert similarities == pytest.approx(1.0)
    for key in range(1000):
        index.remove(key)
    assert len(index) == 0


def test_vectors_that_cancel_out_have_a_centre(small_cells: None) -> None:
    """A cell whose vectors add up to nothing is split and asked like any other."""
    index = InvertedFile(2, 100)
    east, west = codes_of(np.array([1.0, 0.0])), codes_of(np.array([-1.0, 0.0]))
    for key in range(100):
        index.add(key, west if key % 2 else east)
    _, found = index.nearest(east, 5)
    assert not any(key % 2 for key in found.tolist())


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 20), st.integers(0, 1000))
def test_it_is_a_scan_while_it_is_small(count: int, nearest: int, chance: int) -> None:
    """Up to `SCANNED` vectors it finds exactly what comparing all codes finds, equals of the last included."""
    rng = np.random.default_rng(chance)
    rows = np.stack([codes(rng, 5) for _ in range(count)])
    index, query = InvertedFile(5, count), codes(rng, 5)
    for key, row in enumerate(rows):
        index.add(key, row)
    similarities, found = index.nearest(query, nearest)
    wanted = cosines(query, rows)
    last = np.sort(wanted)[-min(nearest, count)]
    assert set(found.tolist()) == set(np.flatnonzero(wanted >= last).tolist())
    assert similarities == pytest.approx(wanted[found], abs=1e-12)


def cosines(query: Codes, rows: Codes) -> npt.NDArray[np.float64]:
    """By the textbook, in whole numbers as far as they go."""
    wide, many = query.astype(np.int64), rows.astype(np.int64)
    return np.asarray((many @ wide) / np.sqrt((many**2).sum(axis=1)) / np.sqrt(wide @ wide))


def test_the_same_vectors_in_the_same_order_give_the_same_file(small_cells: None) -> None:
    """Nothing but the vectors and their order decides what is found."""

    def build() -> InvertedFile:
        rng, index = np.random.default_rng(4), InvertedFile(6, 500)
        for key in range(500):
            index.add(key, codes(rng))
        return index

    rng, one, two = np.random.default_rng(5), build(), build()
    for _ in range(50):
        query = codes(rng)
        assert [part.tolist() for part in one.nearest(query, 5)] == [part.tolist() for part in two.nearest(query, 5)]
