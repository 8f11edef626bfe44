"""What calls cost, and the bound of what one may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Usage
from star_agents.traffic.budget import PICODOLLARS, Cost
from star_agents.traffic.price import TEMPLATE_TOKENS, Price, Tariff


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(1_000_000, 0), 0.15),
        (Usage(0, 1_000_000), 0.60),
        (Usage(1_000_000, 0, cached_tokens=400_000), 0.09 + 0.03),
        (Usage(10, 0, cached_tokens=20), 10 * 0.075e-6),
        (Usage(3, 7, reasoning_tokens=7), 3 * 0.15e-6 + 7 * 0.6e-6),
    ],
)
def test_tokens_cost_what_the_price_says(usage: Usage, usd: float) -> None:
    """Dollars per million; what was cached costs less, and reasoning is output."""
    price = Price(input=0.15, output=0.60, cached_input=0.075)
    assert price.picodollars(usage) == round(usd * PICODOLLARS)


def test_cached_tokens_cost_the_full_price_where_no_other_is_named() -> None:
    """No discount is guessed at."""
    assert Price(input=2, output=8).picodollars(Usage(10, 0, cached_tokens=10)) == 20 * 10**6


def test_without_a_price_there_are_tokens_and_no_dollars() -> None:
    """Unknown is not shown here: whoever shows dollars knows which endpoints have no price."""
    assert Tariff().cost(Usage(3, 4)) == Cost(7, 0)


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 1.0)), max_size=40), st.integers(1, 4096))
def test_a_bound_covers_what_was_just_counted(prompts: list[tuple[int, float]], max_tokens: int) -> None:
    """Whatever came before, the same prompt again would fit its bound, and an answer its limit."""
    tariff = Tariff(Price(input=1, output=2))
    for prompt_bytes, density in prompts:
        usage = Usage(int(prompt_bytes * density) + TEMPLATE_TOKENS, max_tokens)
        tariff.learn(prompt_bytes, usage)
        worst, actual = tariff.worst_case(prompt_bytes, max_tokens), tariff.cost(usage)
        assert actual.tokens <= worst.tokens
        assert actual.picodollars <= worst.picodollars


@given(st.integers(1, 100_000))
def test_at_first_a_token_a_byte_is_set_aside(prompt_bytes: int) -> None:
    """No vocabulary that falls back to bytes needs more."""
    assert Tariff().worst_case(prompt_bytes, 5).tokens == prompt_bytes + TEMPLATE_TOKENS + 5


def test_the_bound_comes_down_to_the_endpoints_own_prompts() -> None:
    """After a few hundred prompts of English it is a quarter above them, and one odd prompt lifts it at once."""
    tariff = Tariff()
    for _ in range(300):
        tariff.learn(5000, Usage(1000 + TEMPLATE_TOKENS, 100))
    assert tariff.worst_case(5000, 0).tokens == 1250 + TEMPLATE_TOKENS
    tariff.learn(1000, Usage(1000 + TEMPLATE_TOKENS, 100))
    assert tariff.worst_case(1000, 0).tokens == 1250 + TEMPLATE_TOKENS


def test_an_estimate_teaches_nothing() -> None:
    """What we counted ourselves says nothing about the server's tokens."""
    tariff = Tariff()
    tariff.learn(1000, Usage(1, 1, is_estimated=True))
    assert tariff.worst_case(1000, 0).tokens == 1000 + TEMPLATE_TOKENS
