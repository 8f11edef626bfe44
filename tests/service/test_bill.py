"""What a run has cost: groups add up, and a price that nobody knows is never 0."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.service.view.bill import bill, budget_status, out_of_budget, recorded_prices, spent_on
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.budget import PICODOLLARS, Budget, Cost
from star_agents.traffic.price import Price

PRICES = {"gpt": Price(input=1.0, output=2.0), "local": None}
MILLION = 1_000_000
SPEND = {
    Account("gpt", "calm", "keep+calm", "respond"): Spend(
        2, 1, 4, MILLION, MILLION, reasoning_tokens=400_000, wasted_output=MILLION
    ),
    Account("gpt", "judge", "keep+wild", "judge"): Spend(1, 0, 1, MILLION),
    Account("local", "wild", "keep+wild", "respond"): Spend(1, 0, 1, 10, 20, estimated=1),
}
COUNTS = st.integers(0, 10**6)
SPENDS = st.dictionaries(
    st.builds(Account, *(st.sampled_from(names) for names in (["gpt", "local", "gone"], ["a", ""], ["p", "q"], ["r"]))),
    st.builds(Spend, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.none() | COUNTS, st.none(), COUNTS, COUNTS, COUNTS),
)


def test_dollars_are_tokens_at_their_price() -> None:
    """Input, output and waste by endpoint, agent and pair; where a part has no price the sum says so."""
    found = bill(SPEND, PRICES)
    assert [(line.name, line.usd, line.is_at_least) for line in found.endpoints] == [
        ("gpt", 6.0, False),
        ("local", None, False),
    ]
    assert [(line.name, line.usd) for line in found.agents] == [("calm", 5.0), ("judge", 1.0), ("wild", None)]
    assert [(line.name, line.usd, line.is_at_least) for line in found.pairs] == [
        ("keep+calm", 5.0, False),
        ("keep+wild", 1.0, True),
    ]
    total = found.total
    assert (total.usd, total.is_at_least, total.tokens) == (6.0, True, 4 * MILLION + 30)
    assert (total.reasoning_tokens, total.wasted_tokens, total.calls, total.failures) == (400_000, MILLION, 4, 1)


def test_nothing_spent_costs_nothing() -> None:
    """The one sum that is known without a price."""
    assert bill({}, PRICES).total.usd == 0.0


@given(SPENDS)
def test_every_grouping_adds_up_to_the_total(spend: dict[Account, Spend]) -> None:
    """Nothing is charged twice or forgotten, whoever is asked."""
    found = bill(spend, PRICES)
    for group in (found.endpoints, found.agents, found.pairs):
        assert sum(line.tokens for line in group) == found.total.tokens
        assert sum(line.usd or 0.0 for line in group) == pytest.approx(found.total.usd or 0.0)
        assert len({line.name for line in group}) == len(group)
    assert spent_on(spend, PRICES).tokens == found.total.tokens
    assert spent_on(spend, PRICES).usd == pytest.approx(found.total.usd or 0.0)


def test_prices_are_read_from_a_recorded_config() -> None:
    """As of the last start; without a price there is none."""
    price = {"input": 0.15, "output": 0.6, "cached_input": None}
    config = orjson.dumps({"endpoints": {"gpt": {"price": price}, "local": {"price": None}, "old": {}}}).decode()
    assert recorded_prices(config) == {"gpt": Price(input=0.15, output=0.6), "local": None, "old": None}
    assert recorded_prices("{}") == {}


def test_the_ceiling_that_is_nearer_is_named_with_the_mend() -> None:
    """One line: what is spent, of what, and how to go on."""
    spent = Cost(900, PICODOLLARS * 199 // 100)
    told = out_of_budget(Budget(usd=2.0, tokens=10_000, spent=spent))
    assert told.startswith("budget.usd: $1.99 of $2.00 is spent")
    assert "raise budget.usd and go on with --resume" in told
    assert out_of_budget(Budget(usd=20.0, tokens=1000, spent=spent)).startswith("budget.tokens: 900 of 1000 tokens")
    assert budget_status(Budget(usd=2.0, spent=spent), waiting=3).spent_usd == 1.99
