import math
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import AgentPair, PairWeights, Slot
from star_agents.core.rng import derive
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.weights import SMALLEST
from tests.policy.sets import pairs

FIVE = pairs(5)
P = (0.4, 0.3, 0.15, 0.1, 0.05)
WEIGHTS = PairWeights(3, FIVE, P)
BASE = (AgentPair("keep", "base"),)

subsets = st.sets(st.sampled_from(FIVE)).map(lambda chosen: tuple(sorted(chosen)))


def drawn(
    options: DrawOptions,
    rng: Random,
    *,
    weights: PairWeights = WEIGHTS,
    pool: Sequence[AgentPair] = (),
    masked: Sequence[AgentPair] = (),
) -> tuple[Slot, ...]:
    """The slots after the base."""
    slots = draw(weights, base=BASE, pool=pool, masked=masked, options=options, rng=rng)
    assert slots[0] == Slot(0, BASE[0], is_base=True, propensity=1.0)
    assert [slot.number for slot in slots] == list(range(len(slots)))
    return slots[1:]


def chi_square(observed: Counter[Sequence[AgentPair]], expected: Mapping[Sequence[AgentPair], float]) -> float:
    """Pearson's statistic for counts against probabilities that sum to 1."""
    total = sum(observed.values())
    assert set(observed) <= set(expected)
    return sum((observed[outcome] - total * p) ** 2 / (total * p) for outcome, p in expected.items())


def sequential_law(items: dict[AgentPair, float], length: int) -> dict[Sequence[AgentPair], float]:
    """Plackett-Luce by brute force: the probability of every ordered draw of `length` without replacement."""
    if not length:
        return {(): 1.0}
    total = math.fsum(items.values())
    law: dict[Sequence[AgentPair], float] = {}
    for pair, mass in items.items():
        rest = {other: value for other, value in items.items() if other != pair}
        for tail, p in sequential_law(rest, length - 1).items():
            law[pair, *tail] = mass / total * p
    return law


@given(st.integers(), st.integers(0, 7), st.integers(0, 4), subsets, subsets, st.booleans())
def test_what_a_draw_always_keeps(
    chance: int,
    per_seed: int,
    from_memory: int,
    pool: tuple[AgentPair, ...],
    masked: tuple[AgentPair, ...],
    replacement: bool,
) -> None:
    """M slots where they can be had; l from the pool, or what it has; no masked pair, and none twice unless allowed."""
    options = DrawOptions(pairs_per_seed=per_seed, from_memory=from_memory, replacement=replacement)
    slots = drawn(options, Random(chance), pool=pool, masked=masked)
    inside = set(pool) - set(masked)
    outside = set(FIVE) - set(pool) - set(masked)
    asked = [slot.pair for slot in slots]
    assert not set(asked) & set(masked)
    assert all(slot.from_memory == (slot.pair in inside) for slot in slots)
    assert not any(slot.is_base for slot in slots)
    num_inside = sum(slot.from_memory for slot in slots)
    if replacement:
        assert len(slots) == (per_seed if inside or outside else 0)
        if outside:
            assert num_inside == min(from_memory, len(inside), per_seed)
    else:
        assert len(set(asked)) == len(asked)
        assert len(slots) == min(per_seed, len(inside | outside))
        wanted = min(from_memory, len(inside), per_seed)
        assert num_inside == max(wanted, len(slots) - len(outside))


@given(st.integers(), st.integers(1, 5), st.integers(0, 3), subsets, subsets)
def test_propensities_are_the_sequential_law(
    chance: int, per_seed: int, from_memory: int, pool: tuple[AgentPair, ...], masked: tuple[AgentPair, ...]
) -> None:
    """Without replacement the product of a set's propensities is the brute-force probability of that ordered draw."""
    options = DrawOptions(pairs_per_seed=per_seed, from_memory=from_memory)
    slots = drawn(options, Random(chance), pool=pool, masked=masked)
    available = {pair: p for pair, p in zip(FIVE, P, strict=True) if pair not in masked}
    for is_inside in (True, False):
        mine = [slot for slot in slots if slot.from_memory == is_inside]
        items = {pair: p for pair, p in available.items() if (pair in pool) == is_inside}
        law = sequential_law(items, len(mine))
        assert math.prod(slot.propensity for slot in mine) == pytest.approx(law[tuple(slot.pair for slot in mine)])


def test_frequencies_without_replacement() -> None:
    """20,000 ordered pairs of draws follow the sequential law (chi-square, 19 degrees of freedom, 0.1 % level)."""
    options = DrawOptions(pairs_per_seed=2)
    observed: Counter[Sequence[AgentPair]] = Counter(
        tuple(slot.pair for slot in drawn(options, derive(1, "chi", number))) for number in range(20_000)
    )
    assert chi_square(observed, sequential_law(dict(zip(FIVE, P, strict=True)), 2)) < 43.82


def test_frequencies_with_replacement() -> None:
    """20,000 ordered pairs of i.i.d. draws follow p x p (chi-square, 24 degrees of freedom, 0.1 % level)."""
    options = DrawOptions(pairs_per_seed=2, replacement=True)
    observed: Counter[Sequence[AgentPair]] = Counter(
        tuple(slot.pair for slot in drawn(options, derive(2, "chi", number))) for number in range(20_000)
    )
    law: dict[Sequence[AgentPair], float] = {
        (a, b): p * q for a, p in zip(FIVE, P, strict=True) for b, q in zip(FIVE, P, strict=True)
    }
    assert chi_square(observed, law) < 51.18


def test_propensity_with_replacement_is_p() -> None:
    """Draws are i.i.d., so each has the weight itself as its propensity."""
    slots = drawn(DrawOptions(pairs_per_seed=30, replacement=True), Random(5))
    assert len(slots) == 30
    assert [slot.propensity for slot in slots] == pytest.approx([P[FIVE.index(slot.pair)] for slot in slots])


def test_memory_and_rest_are_drawn_apart() -> None:
    """The l memory slots come first, from the pool, by p renormalised over it; the rest from outside, by theirs."""
    options = DrawOptions(pairs_per_seed=3, from_memory=2, replacement=True)
    pool = (FIVE[1], FIVE[3])
    for number in range(50):
        slots = drawn(options, Random(number), pool=pool)
        assert [slot.from_memory for slot in slots] == [True, True, False]
        for slot in slots:
            mass = 0.4 if slot.from_memory else 0.6
            assert slot.propensity == pytest.approx(P[FIVE.index(slot.pair)] / mass)


def test_a_small_pool_gives_what_it_has() -> None:
    """With one pair in the pool and l = 2, the rest of M comes from outside."""
    slots = drawn(DrawOptions(pairs_per_seed=3, from_memory=2), Random(0), pool=FIVE[:1])
    assert [slot.from_memory for slot in slots] == [True, False, False]


def test_a_small_outside_lets_the_pool_give_more() -> None:
    """With one pair outside the pool and M = 4, three come from the pool."""
    slots = drawn(DrawOptions(pairs_per_seed=4, from_memory=1), Random(0), pool=FIVE[:4])
    assert [slot.from_memory for slot in slots] == [True, True, True, False]


def test_the_mask_shows_in_the_propensity() -> None:
    """With all but one pair masked the last one is certain."""
    (only,) = drawn(DrawOptions(pairs_per_seed=1), Random(0), masked=FIVE[:4])
    assert only == Slot(1, FIVE[4], propensity=1.0)


@pytest.mark.parametrize("replacement", [True, False])
def test_all_masked_leaves_the_base(replacement: bool) -> None:
    """When no pair can be asked only the base pairs are."""
    assert drawn(DrawOptions(pairs_per_seed=3, replacement=replacement), Random(0), masked=FIVE) == ()


@pytest.mark.parametrize("replacement", [True, False])
def test_a_weight_of_zero_is_never_drawn(replacement: bool) -> None:
    """A pair with p = 0 has no probability, first or last in the pool's order."""
    weights = PairWeights(0, FIVE[:4], (0.0, 0.5, 0.5, 0.0))
    options = DrawOptions(pairs_per_seed=4, replacement=replacement)
    for number in range(200):
        slots = drawn(options, Random(number), weights=weights)
        assert {slot.pair for slot in slots} <= {FIVE[1], FIVE[2]}


def test_a_base_pair_with_a_weight_is_not_drawn_again() -> None:
    """A base pair is asked once, whatever the pool says."""
    weights = PairWeights(0, (*BASE, FIVE[0]), (0.9, 0.1))
    (slot,) = drawn(DrawOptions(pairs_per_seed=2), Random(0), weights=weights, pool=BASE)
    assert slot == Slot(1, FIVE[0], propensity=1.0)


def test_a_draw_depends_on_its_own_generator_alone() -> None:
    """The same name gives the same draw, whatever was drawn before and in whatever order pool and mask come."""
    options = DrawOptions(pairs_per_seed=2, from_memory=1)
    first = drawn(options, derive(17, "pairs", 42), pool=FIVE[:2], masked=FIVE[3:])
    drawn(options, derive(17, "pairs", 41))
    assert drawn(options, derive(17, "pairs", 42), pool=FIVE[1::-1], masked=FIVE[:2:-1]) == first


class _Highest(Random):
    """A generator at the upper end of what `random` may return."""

    def random(self) -> float:
        return 1 - 2**-53


def test_rounding_up_stays_inside() -> None:
    """Where every weight left is the smallest there is, a draw that rounds up to the end is still the last pair."""
    weights = PairWeights(0, FIVE[:2], (1.0, SMALLEST))
    (slot,) = drawn(DrawOptions(pairs_per_seed=1), _Highest(), weights=weights, masked=FIVE[:1])
    assert slot.pair == FIVE[1]
