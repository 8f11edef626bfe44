"""What finished seeds teach: who earns a credit, what it is worth as an estimate, and quality per cost."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Charge, Usage
from star_agents.core.records import AgentPair, Candidate, Graded, Slot, Verdict, VerdictSource
from star_agents.policy.credits import Credit, CreditOptions, credits, importances, thrifts
from tests.policy.sets import answer, failure, graded, pairs


def told(batch: Sequence[Credit]) -> list[tuple[AgentPair, float]]:
    """The credits without their importance."""
    return [(credit.pair, credit.pi) for credit in batch]


def test_credits_come_in_commit_order_without_the_base() -> None:
    """Base pairs, failures and unjudged candidates earn no credit; a known 0 is a credit of 0."""
    batch = [graded([0.5, 0.25, None, 0.0]), graded([0.5, 1.0])]
    named = pairs(4)
    assert told(credits(batch)) == [(named[1], 0.25), (named[3], 0.0), (named[1], 1.0)]


def test_a_judge_that_was_down_teaches_nothing() -> None:
    """A tie because the judge's call failed is no verdict on the pair; an unreadable verdict is the judge's word."""
    failed, unparsed = (Verdict(1, 0.5, source) for source in (VerdictSource.FAILED, VerdictSource.UNPARSED))
    assert credits([replace(graded([0.5, 0.25]), verdicts={1: failed})]) == ()
    assert credits([replace(graded([0.5, 0.25]), verdicts={1: unparsed})]) == (Credit(pairs(2)[1], 0.25),)


def test_credit_for_winners_alone() -> None:
    """With `winner` only the selected candidate teaches, and a base pair that won teaches nothing."""
    batch = [graded([0.5, 0.25, 0.7], winner=2), graded([0.5, 0.25], winner=0), graded([0.5, 0.0])]
    assert told(credits(batch, CreditOptions(credit="winner"))) == [(pairs(3)[2], 0.7)]


def slots_of(order: Sequence[int], p: Sequence[float], *, replacement: bool) -> tuple[list[Slot], float]:
    """The slots of one seed on which the pairs were drawn in this order, and the probability of that."""
    slots, chance, left = [], 1.0, sum(p)
    for number, index in enumerate(order):
        slots.append(Slot(number, pairs(len(p))[index], propensity=p[index] / left))
        chance *= p[index] / left
        left -= 0.0 if replacement else p[index]
    return slots, chance


@pytest.mark.parametrize("replacement", [False, True])
@given(
    p=st.lists(st.floats(0.05, 1.0), min_size=3, max_size=4),
    rewards=st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4),
    draws=st.integers(1, 3),
)
def test_the_estimate_is_unbiased(replacement: bool, p: list[float], rewards: list[float], draws: int) -> None:
    """Over every possible sequence of draws, the mean of pi * importance is what each pair would have earned."""
    named = pairs(len(p))
    estimate = dict.fromkeys(named, 0.0)
    places = range(len(p))
    for order in product(places, repeat=draws) if replacement else permutations(places, draws):
        slots, chance = slots_of(order, p, replacement=replacement)
        factors = importances(slots, replacement=replacement)
        for slot, index in zip(slots, order, strict=True):
            estimate[slot.pair] += chance * rewards[index] * factors[slot.number]
    assert list(estimate.values()) == pytest.approx(rewards[: len(p)], abs=1e-9)


def test_pool_and_outside_are_urns_of_their_own() -> None:
    """Two draws from the pool and one from outside: each urn's draws share one estimate; the base has none."""
    named = pairs(4)
    slots = [
        Slot(0, named[0], is_base=True),
        Slot(1, named[1], propensity=0.5, from_memory=True),
        Slot(2, named[2], propensity=1.0, from_memory=True),
        Slot(3, named[3], propensity=0.25),
    ]
    assert importances(slots, replacement=False) == {1: (2 + 1) / 2, 2: 1 / 2, 3: 4.0}
    assert importances(slots, replacement=True) == {1: 2 / 2, 2: 1 / 2, 3: 4.0}


def costly(costs: Sequence[float | None]) -> Graded:
    """A seed of which each slot has a pi of 0.5 and its cost on it; the base is slot 0."""
    item = graded([0.5] * len(costs))
    charged = [
        replace(answer(slot), charges=() if cost is None else (Charge("e", Usage(int(cost), 0)),))
        for slot, cost in enumerate(costs)
    ]
    return replace(item, settled=replace(item.settled, outcomes=tuple(charged)))


def cost(candidate: Candidate) -> float | None:
    return float(candidate.charges[0].usage.input_tokens) if candidate.charges else None


def test_quality_per_cost_by_hand() -> None:
    """Pi times the cheapest cost of the seed, base included, over the candidate's own; unknown costs teach nothing."""
    options = CreditOptions(cost=cost)
    named = pairs(4)
    expected = [(named[1], 0.25), (named[2], 0.5), (named[3], 0.125)]
    assert told(credits([costly([20, 40, 20, 80])], options)) == expected
    assert told(credits([costly([40, 20, None, 80])], options)) == [(named[1], 0.5), (named[3], 0.125)]


def test_what_is_free_is_the_yardstick() -> None:
    """Beside a candidate that cost nothing, what cost something is worth nothing."""
    assert thrifts([answer(0), failure(1), answer(2)], lambda one: 3.0 * one.slot) == {0: 1.0, 2: 0.0}


@given(st.lists(st.one_of(st.none(), st.integers(1, 10**12)), min_size=2, max_size=6))
def test_quality_per_cost_stays_in_range(costs: list[float | None]) -> None:
    """Never more than the quality, never below 0, and the cheapest candidate keeps all of its own."""
    for credit in credits([costly(costs)], CreditOptions(cost=cost)):
        assert 0 <= credit.pi <= 0.5
    factors = thrifts([replace(one) for one in costly(costs).settled.candidates()], cost)
    assert not factors or max(factors.values()) == 1.0
