from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.core.records import AgentPair, MemoryEntry
from star_agents.policy import memory
from star_agents.policy.memory import MemoryBank
from tests.policy.sets import pairs

Vectors = npt.NDArray[np.float32]

HALF_PRECISION = 2e-3


def clusters(count: int, ndim: int, seed: int) -> Vectors:
    """Unit vectors around ten directions, as sentence embeddings lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, ndim))
    vectors = centres[rng.integers(0, 10, count)] + rng.normal(size=(count, ndim)) / 2
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype="<f4")


def entry(number: int, vector: Vectors, pair: AgentPair | None = None) -> MemoryEntry:
    """An entry; by default each has a pair of its own, so that a pool tells which entries it saw."""
    return MemoryEntry(number, pair or AgentPair("keep", str(number)), 0.5, vector.astype("<f4").tobytes())


def bank_of(vectors: Vectors, *, capacity: int = 1000, neighbours: int = 10, min_similarity: float = -1) -> MemoryBank:
    bank = MemoryBank(capacity, neighbours, min_similarity)
    for number, vector in enumerate(vectors):
        bank.add(entry(number, vector))
    return bank


def seeds_of(pool: tuple[AgentPair, ...]) -> list[int]:
    return [int(pair.response) for pair in pool]


def unit(*numbers: float) -> bytes:
    return np.array(numbers, dtype="<f4").tobytes()


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 12), st.floats(-1, 1), st.integers(0, 1000))
def test_pool_is_exact_while_the_bank_is_small(count: int, neighbours: int, min_similarity: float, chance: int) -> None:
    """The pool is the brute-force answer: nearest first, none below the bound (to half precision)."""
    vectors = clusters(count, 16, chance)
    query = clusters(1, 16, chance + 1)[0]
    pool = seeds_of(
        bank_of(vectors, neighbours=neighbours, min_similarity=min_similarity).pool(query.astype("<f4").tobytes())
    )
    similarity = vectors @ query
    best = np.sort(similarity)[::-1][:neighbours]
    expected = best[best >= min_similarity]
    # Entries within rounding of the bound may fall on either side of it.
    near_bound = int(np.sum(np.abs(best - min_similarity) < HALF_PRECISION))
    assert abs(len(pool) - len(expected)) <= near_bound
    shared = min(len(pool), len(expected))
    assert similarity[pool[:shared]] == pytest.approx(expected[:shared], abs=HALF_PRECISION)


def test_a_bank_that_is_scanned_misses_nothing() -> None:
    """Up to `EXACT_UP_TO` entries even vectors without any structure, which defeat the index, are all found."""
    vectors = np.random.default_rng(8).normal(size=(3000, 64)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bank = bank_of(vectors[20:], capacity=3000)
    for query in vectors[:20]:
        similarity = vectors[20:] @ query
        found = similarity[seeds_of(bank.pool(query.tobytes()))]
        assert found == pytest.approx(np.sort(similarity)[:-11:-1], abs=HALF_PRECISION)


def test_recall_of_the_index() -> None:
    """Past the size that is scanned whole, the index still finds nearly all of the nearest ten."""
    everything = clusters(memory.EXACT_UP_TO + 550, 32, 5)
    vectors, queries = everything[:-50], everything[-50:]
    bank = bank_of(vectors, capacity=10_000)
    found = 0
    for query in queries:
        nearest = set(np.argsort(-(vectors @ query))[:10].tolist())
        found += len(nearest & set(seeds_of(bank.pool(query.astype("<f4").tobytes()))))
    assert found >= 0.95 * 500


def test_a_pair_is_proposed_once() -> None:
    """Neighbours that the same pair won give it one place, that of the nearest."""
    first, second = pairs(2)
    bank = MemoryBank(10, 3, 0.0)
    for number, (vector, pair) in enumerate([((1.0, 0.3), first), ((1.0, 0.2), second), ((1.0, 0.1), first)]):
        bank.add(entry(number, np.array(vector, dtype=np.float32), pair))
    assert bank.pool(unit(1.0, 0.0)) == (first, second)


def test_equal_similarity_goes_by_seed() -> None:
    """Entries of the same instruction come in the order of their seeds, whatever the order of adding."""
    bank = MemoryBank(10, 10, 0.0)
    for number in (5, 3, 9):
        bank.add(entry(number, np.array([0.6, 0.8], dtype=np.float32)))
    assert seeds_of(bank.pool(unit(0.6, 0.8))) == [3, 5, 9]


def test_too_far_is_not_near() -> None:
    """An entry below `min_similarity` is no neighbour, however few there are."""
    bank = bank_of(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), min_similarity=0.5)
    assert seeds_of(bank.pool(unit(1.0, 0.1))) == [0]


def test_the_oldest_is_forgotten() -> None:
    """A full bank makes room by forgetting what came first."""
    vectors = clusters(30, 8, 1)
    bank = bank_of(vectors, capacity=10, neighbours=30)
    assert len(bank) == 10
    assert sorted(seeds_of(bank.pool(vectors[0].tobytes()))) == list(range(20, 30))
    assert repr(bank) == "<MemoryBank 10/10>"


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 200), st.integers(1, 12), st.integers(0, 1000))
def test_a_bank_is_its_newest_entries(capacity: int, count: int, neighbours: int, chance: int) -> None:
    """However often it has forgotten, it answers as a brute-force look at the newest `capacity` entries does."""
    vectors, (query,) = clusters(count, 16, chance), clusters(1, 16, chance + 1)
    bank = bank_of(vectors, capacity=capacity, neighbours=neighbours)
    similarity = vectors @ query
    pool = seeds_of(bank.pool(query.tobytes()))
    assert len(bank) == min(count, capacity)
    assert min(pool) >= count - capacity
    assert similarity[pool] == pytest.approx(
        np.sort(similarity[max(0, count - capacity) :])[::-1][:neighbours], abs=HALF_PRECISION
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 80), st.lists(st.integers(0, 60), min_size=1, max_size=6), st.booleans(), st.integers(0, 1000))
def test_many_at_once_are_the_same_bank(
    monkeypatch: pytest.MonkeyPatch, capacity: int, sizes: list[int], threads: bool, chance: int
) -> None:
    """Handed over in any portions, on one thread or several, entries make the bank that one by one they make."""
    monkeypatch.setattr(memory, "EXACT_UP_TO", 0)  # what an index that saw them otherwise would tell
    vectors = clusters(sum(sizes) + 20, 8, chance)
    entries, queries = [entry(number, vector) for number, vector in enumerate(vectors[:-20])], vectors[-20:]
    bank = MemoryBank(capacity, 5, -1.0)
    with ThreadPoolExecutor(3) as pool:
        for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False):
            bank.fill(entries[start : start + size], pool.map if threads else map)
    single = bank_of(vectors[:-20], capacity=capacity, neighbours=5)
    assert len(bank) == len(single)
    assert [bank.pool(query.tobytes()) for query in queries] == [single.pool(query.tobytes()) for query in queries]


def test_recall_while_the_index_forgets() -> None:
    """With most of the oldest generation forgotten, the index still finds nearly all of the nearest ten."""
    capacity = memory.EXACT_UP_TO + 4
    count = capacity + capacity // memory.GENERATIONS - 10
    everything = clusters(count + 50, 32, 6)
    vectors, queries = everything[:-50], everything[-50:]
    bank = MemoryBank(capacity, 10, -1.0)
    bank.fill([entry(number, vector) for number, vector in enumerate(vectors)])
    found = 0
    for query in queries:
        nearest = set((np.argsort(-(vectors[-capacity:] @ query))[:10] + count - capacity).tolist())
        found += len(nearest & set(seeds_of(bank.pool(query.tobytes()))))
    assert found >= 0.95 * 500


def test_adding_again_gives_the_same_pools() -> None:
    """A bank rebuilt from the log, entry by entry, answers as the one that lived, though it has forgotten many."""
    vectors, queries = clusters(400, 8, 2), clusters(40, 8, 3)
    live, rebuilt = bank_of(vectors, capacity=100), bank_of(vectors, capacity=100)
    assert [live.pool(query.tobytes()) for query in queries] == [rebuilt.pool(query.tobytes()) for query in queries]


def test_an_empty_bank_proposes_nothing() -> None:
    """Before the first entry there is no pool."""
    assert MemoryBank(10, 3, 0.0).pool(unit(1.0, 0.0)) == ()


def test_length_does_not_matter() -> None:
    """Similarity is an angle: a vector too small or too large for half precision is as good as a unit one."""
    bank = MemoryBank(10, 3, 0.99)
    bank.add(entry(0, np.array([3e-20, 4e-20], dtype=np.float32)))
    assert seeds_of(bank.pool(unit(3e20, 4e20))) == [0]


@pytest.mark.parametrize(
    ("embedding", "why"),
    [
        (b"", "0 bytes"),
        (b"abc", "3 bytes"),
        (unit(0.0, 0.0), "not zero"),
        (unit(float("nan"), 1.0), "finite"),
        (unit(float("inf"), 1.0), "finite"),
        (unit(1.0, 0.0, 0.0), "3 numbers does not fit a memory of 2"),
    ],
)
def test_bad_embeddings(embedding: bytes, why: str) -> None:
    """What is no direction of the right size is refused, on both sides, and changes nothing."""
    bank = bank_of(np.array([[1.0, 0.0]], dtype=np.float32))
    with pytest.raises(ValueError, match=why):
        bank.add(MemoryEntry(1, AgentPair("keep", "1"), 0.5, embedding))
    with pytest.raises(ValueError, match=why):
        bank.pool(embedding)
    assert len(bank) == 1


@pytest.mark.parametrize("numbers", [(0, 3), (3, 0)])
def test_a_memory_must_hold_something(numbers: tuple[int, int]) -> None:
    """No capacity, or no neighbours, is refused."""
    with pytest.raises(ValueError, match="remembers nothing"):
        MemoryBank(*numbers, 0.0)
