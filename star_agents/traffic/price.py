"""What calls to one endpoint cost: the price of its tokens, and how many a prompt may turn out to have.

Law: straight after an answer was learnt from, the bound of its prompt is no less than what the server counted.

A price that is not known costs no dollars here and is never guessed at; whoever shows dollars says so. A prompt
is bounded by a token a byte at first: vocabularies that fall back to bytes never need more, and no less is
safe (SmolLM2 and Gemma 3 take 5.3 bytes of English a token, 1.8 and 4.9 of Chinese, and 1.0 of digits). What the
endpoint then counts brings the bound down to where its own prompts are.
"""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from star_agents.core.calls import Usage
from star_agents.traffic.budget import PICODOLLARS, Cost

TEMPLATE_TOKENS = 64
"""What a chat template may add to a prompt; SmolLM2's, with its own system turn, adds 30."""

MARGIN = 1.25
"""A prompt may be so much denser in tokens than the densest of late."""

FADE = 0.98
"""How much of the densest prompt is still remembered after one more: half after 34."""

TOKENS_PER_PRICE = 1_000_000
"""What a price is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars per million tokens; `cached_input` for those that the server had read before, if it charges less."""

    input: float
    output: float
    cached_input: float | None = None

    def picodollars(self, usage: Usage) -> int:
        """What tokens cost. Tokens that nobody told to be cached cost the full price."""
        return self.rates().picodollars(usage)

    def rates(self) -> "Rates":
        """The same, exact."""
        cached_input = self.input if self.cached_input is None else self.cached_input
        return Rates(
            *(round(price * PICODOLLARS / TOKENS_PER_PRICE) for price in (self.input, cached_input, self.output))
        )


class Rates(NamedTuple):
    """Picodollars a token."""

    input: int
    cached_input: int
    output: int

    def picodollars(self, usage: Usage) -> int:
        """See `Price.picodollars`."""
        cached = min(usage.cached_tokens, usage.input_tokens) if usage.cached_tokens else 0
        prompt = (usage.input_tokens - cached) * self.input + cached * self.cached_input
        return prompt + usage.output_tokens * self.output


FREE = Rates(0, 0, 0)


class Tariff:
    """The price of one endpoint, with its measure of prompts."""

    __slots__ = ("_density", "_rates")

    def __init__(self, price: Price | None = None) -> None:
        self._rates = FREE if price is None else price.rates()
        self._density = 1.0  # tokens a byte

    def cost(self, usage: Usage) -> Cost:
        """What an answer took; without a price, in tokens alone."""
        return Cost(usage.input_tokens + usage.output_tokens, self._rates.picodollars(usage))

    def worst_case(self, prompt_bytes: int, max_tokens: int) -> Cost:
        """What one send may take at most: a prompt of so many bytes in UTF-8, and an answer that uses its limit."""
        prompt = TEMPLATE_TOKENS + ceil(prompt_bytes * self._density)
        return Cost(prompt + max_tokens, prompt * self._rates.input + max_tokens * self._rates.output)

    def learn(self, prompt_bytes: int, usage: Usage) -> None:
        """Take note of how many tokens a prompt had, where the server counted them."""
        if prompt_bytes and not usage.is_estimated:
            measured = (usage.input_tokens - TEMPLATE_TOKENS) / prompt_bytes
            self._density = max(MARGIN * measured, FADE * self._density)
