"""What every rule of learning promises, whichever it is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import AgentPair
from star_agents.policy.credits import Credit
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule, fold, uniform
from tests.policy.rules import PAIRS, batches, floored, play, rules

ONE_OF_EACH: list[UpdateRule] = [PaperRule(rate=0.05), Exp3Rule(rate=0.2), ThompsonRule(discount=0.99)]

logs = st.lists(batches, max_size=5)


def name(rule: UpdateRule) -> str:
    return type(rule).__name__


@given(logs, rules)
def test_weights_stay_weights(log: list[list[Credit]], rule: UpdateRule) -> None:
    """After any batches p is positive, at least the floor, and sums to 1; a batch makes the next version."""
    weights = uniform(PAIRS)
    for batch in log:
        after = rule.update(weights, batch)
        assert after.version == weights.version + 1
        assert after.pairs == PAIRS
        assert math.fsum(after.p) == pytest.approx(1.0, abs=1e-12)
        assert min(after.p) > 0
        assert min(after.p) >= rule.floor
        assert all(map(math.isfinite, after.state))
        weights = after


@given(logs, rules)
def test_fold_of_the_log_is_the_live_state(log: list[list[Credit]], rule: UpdateRule) -> None:
    """Replaying the committed batches gives the live weights and the live state, bit for bit."""
    live = uniform(PAIRS)
    for batch in log:
        live = rule.update(live, batch)
    assert fold(uniform(PAIRS), log, rule) == live


@given(logs, rules)
def test_an_empty_batch_teaches_nothing(log: list[list[Credit]], rule: UpdateRule) -> None:
    """It makes a version, with the weights and the state there were."""
    before = fold(uniform(PAIRS), log, rule)
    after = rule.update(before, [])
    assert (after.version, after.p, after.state) == (before.version + 1, before.p, before.state)


@given(batches, st.integers(0, 30), rules)
def test_a_batch_may_be_split(batch: list[Credit], cut: int, rule: UpdateRule) -> None:
    """Without a floor, two batches in a row teach what their union teaches, up to rounding."""
    rule = floored(rule, 0.0)
    whole, halves = (fold(uniform(PAIRS), log, rule) for log in ([batch], [batch[:cut], batch[cut:]]))
    assert halves.p == pytest.approx(whole.p, rel=1e-6, abs=1e-9)
    assert halves.state == pytest.approx(whole.state, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("rule", ONE_OF_EACH, ids=name)
def test_pairs_of_equal_names_are_one(rule: UpdateRule) -> None:
    """A credit that was read back from a store moves the pair that it names."""
    again = [Credit(AgentPair(pair.instruction, pair.response), 0.5) for pair in PAIRS[:2]]
    same = [Credit(pair, 0.5) for pair in PAIRS[:2]]
    assert rule.update(uniform(PAIRS), again) == rule.update(uniform(PAIRS), same)


@pytest.mark.parametrize("rule", ONE_OF_EACH, ids=name)
def test_a_credit_for_an_unknown_pair_is_refused(rule: UpdateRule) -> None:
    """It names the pair."""
    with pytest.raises(ValueError, match=r"keep\+stranger"):
        rule.update(uniform(PAIRS), [Credit(AgentPair("keep", "stranger"), 1.0)])


@pytest.mark.parametrize("rule", ONE_OF_EACH, ids=name)
def test_floor_must_leave_something(rule: UpdateRule) -> None:
    """Floors that take the whole mass are refused, and the message names the numbers."""
    with pytest.raises(ValueError, match=r"0\.5 for each of 2 pairs"):
        type(rule)(**{"rate": 0.5} if hasattr(rule, "rate") else {}, floor=0.5).update(uniform(PAIRS[:2]), [])  # type: ignore[call-arg]  # dataclasses all


@pytest.mark.parametrize("rule", ONE_OF_EACH, ids=name)
def test_every_rule_finds_the_best_pair(rule: UpdateRule) -> None:
    """Of six pairs with means 0.2 to 0.7 the last has the most weight after 2,000 seeds of two draws."""
    p = play(rule, [[0.2, 0.3, 0.4, 0.5, 0.6, 0.7]] * 2000, draws=2)[-1].p
    assert max(p) == p[-1]
    assert p[-1] > 0.4
