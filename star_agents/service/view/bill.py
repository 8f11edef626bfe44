"""What a run has cost, in tokens and in dollars: by endpoint, by agent and by pair.

Law: dollars are tokens at the prices of the config. What an endpoint without a price cost is unknown: it is
never shown as 0, and a sum that holds an unknown part says "at least".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from star_agents.core.calls import Usage
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.budget import NO_COST, PICODOLLARS, Budget, Cost
from star_agents.traffic.price import Price

Prices = Mapping[str, Price | None]
"""By endpoint. One that is not in it has no price: the config does not name it any more."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """What one name was charged; `usd` is None where nothing of it has a price, `is_at_least` where a part has none.

    `wasted_tokens` (served, and of no use) are beside the input and the output, and in the dollars.
    """

    name: str
    calls: int
    failures: int
    sends: int
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None
    cached_tokens: int | None
    wasted_tokens: int
    estimated: int
    usd: float | None
    is_at_least: bool

    @property
    def tokens(self) -> int:
        """All that was served."""
        return self.input_tokens + self.output_tokens + self.wasted_tokens


@dataclass(frozen=True, slots=True)
class Bill:
    """One run's spending, over all starts; each grouping adds up to the total."""

    total: BillLine
    endpoints: tuple[BillLine, ...]
    agents: tuple[BillLine, ...]
    pairs: tuple[BillLine, ...]


def bill(spend: Mapping[Account, Spend], prices: Prices) -> Bill:
    """Add up what was booked."""
    return Bill(
        _line("total", spend.items(), prices),
        _grouped(spend, prices, lambda account: account.endpoint),
        _grouped(spend, prices, lambda account: account.agent),
        _grouped(spend, prices, lambda account: account.pair),
    )


def recorded_prices(config: str) -> Prices:
    """The prices in a recorded config (`identity.record`), as of the last start."""
    endpoints: dict[str, dict[str, Any]] = orjson.loads(config).get("endpoints", {})
    prices = {name: section.get("price") for name, section in endpoints.items()}
    return {name: None if price is None else Price(**price) for name, price in prices.items()}


def _grouped(spend: Mapping[Account, Spend], prices: Prices, name_of: Callable[[Account], str]) -> tuple[BillLine, ...]:
    groups: dict[str, list[tuple[Account, Spend]]] = {}
    for account, amount in sorted(spend.items()):
        groups.setdefault(name_of(account) or "unknown", []).append((account, amount))
    return tuple(_line(name, charged, prices) for name, charged in groups.items())


def _line(name: str, charged: Iterable[tuple[Account, Spend]], prices: Prices) -> BillLine:
    total, picodollars = Spend(), list[int | None]()
    for account, amount in charged:
        total += amount
        picodollars.append(picodollars_of(amount, prices.get(account.endpoint)))
    known = [cost for cost in picodollars if cost is not None]
    return BillLine(
        name=name,
        calls=total.calls,
        failures=total.failures,
        sends=total.sends,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        reasoning_tokens=total.reasoning_tokens,
        cached_tokens=total.cached_tokens,
        wasted_tokens=total.wasted_input + total.wasted_output,
        estimated=total.estimated,
        usd=sum(known) / PICODOLLARS if known or not picodollars else None,
        is_at_least=0 < len(known) < len(picodollars),
    )


def picodollars_of(spend: Spend, price: Price | None) -> int | None:
    """What tokens cost, wasted ones too, or None where there is no price."""
    if price is None:
        return None
    served = Usage(
        spend.input_tokens + spend.wasted_input,
        spend.output_tokens + spend.wasted_output,
        cached_tokens=spend.cached_tokens,
    )
    return price.picodollars(served)


def spent_on(spend: Mapping[Account, Spend], prices: Prices) -> Cost:
    """What counts towards the ceilings; what has no price counts in tokens alone."""
    costs = (
        Cost(amount.tokens, picodollars_of(amount, prices.get(account.endpoint)) or 0)
        for account, amount in spend.items()
    )
    return sum(costs, NO_COST)


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The ceilings and what is below them; `waiting` sends have no room now."""

    usd: float | None
    tokens: int | None
    spent_usd: float
    spent_tokens: int
    reserved_usd: float
    reserved_tokens: int
    waiting: int = 0


def budget_status(budget: Budget, *, waiting: int) -> BudgetStatus:
    """A snapshot of a budget."""
    spent, reserved = budget.spent, budget.reserved
    return BudgetStatus(
        usd=budget.usd,
        tokens=budget.tokens,
        spent_usd=spent.usd,
        spent_tokens=spent.tokens,
        reserved_usd=reserved.usd,
        reserved_tokens=reserved.tokens,
        waiting=waiting,
    )


def out_of_budget(budget: Budget) -> str:
    """Why no more may be spent, and how to go on: of two ceilings, the one that is nearer."""
    shares = []
    if budget.usd is not None:
        spent = f"${budget.spent.usd:.2f} of ${budget.usd:.2f} is spent"
        shares.append((budget.spent.usd / budget.usd, "budget.usd", spent))
    if budget.tokens is not None:
        spent = f"{budget.spent.tokens} of {budget.tokens} tokens are spent"
        shares.append((budget.spent.tokens / budget.tokens, "budget.tokens", spent))
    _, key, spent = max(shares)
    return f"{key}: {spent}, and what comes next may cost more than is left: raise {key} and go on with --resume"
