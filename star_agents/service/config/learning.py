"""From the section `evolution` to what learns: the rule, its credits, and when batches are formed.

Law: nothing here knows whether the world is real; a run, a laboratory and a replay of a log learn by the same parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from star_agents.core.calls import Charge
from star_agents.core.records import Candidate
from star_agents.pipeline.cadence import Cadence, whole_rounds
from star_agents.policy import exp3, weights
from star_agents.policy.absence import FilledRule
from star_agents.policy.credits import Cost, CreditOptions
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.thompson import ThompsonRule, auto_discount
from star_agents.policy.weights import PaperRule, UpdateRule
from star_agents.service.config import wiring
from star_agents.service.config.settings import EvolutionSection, Settings
from star_agents.traffic.price import Rates


def rule_of(settings: Settings, *, num_pairs: int, num_seeds: int) -> UpdateRule:
    """The rule, with the numbers that `auto` stands for in a run of so many pairs and seeds."""
    rule = _bare_rule(settings, num_pairs=num_pairs, num_seeds=num_seeds)
    return FilledRule(rule) if _fills_faults(settings.evolution) else rule


def _fills_faults(section: EvolutionSection) -> bool:
    """Thompson's rule goes by means of what was seen, so a draw that was not takes nothing from its pair."""
    return section.faults == "usual" and section.credit == "all" and section.rule != "thompson"


def _bare_rule(settings: Settings, *, num_pairs: int, num_seeds: int) -> UpdateRule:
    section = settings.evolution
    match section.rule:
        case "paper":
            rate = weights.auto_rate(settings.sampling.pairs_per_seed, num_seeds)
            return PaperRule(rate=rate if section.rate == "auto" else section.rate, floor=section.floor)
        case "exp3":
            rate = exp3.auto_rate(num_pairs, num_seeds)
            return Exp3Rule(rate=rate if section.rate == "auto" else section.rate, floor=section.floor)
        case "thompson":
            discount = auto_discount(num_pairs) if section.discount == "auto" else section.discount
            return ThompsonRule(discount=discount, floor=section.floor)


def cadence_of(section: EvolutionSection, *, num_seeds: int) -> Cadence:
    """When batches are formed; a round without a number of its own is a pass over all seeds."""
    if section.mode == "round":
        return whole_rounds(section.round_seeds or num_seeds)
    return Cadence(
        batch_size=section.batch_size,
        linger_s=section.linger_s,
        max_lag=section.max_lag,
        in_order=section.order == "ticket",
    )


def crediting_of(settings: Settings) -> CreditOptions:
    """Which candidates teach, and what."""
    section = settings.evolution
    return CreditOptions(
        credit=section.credit,
        replacement=settings.sampling.replacement,
        cost=cost_of(settings) if section.reward == "quality_per_cost" else None,
        faults=_fills_faults(section),
    )


def cost_of(settings: Settings) -> Cost:
    """What a candidate's calls cost: picodollars where every agent's endpoint has a price, else tokens, in and out.

    One unit for all, so that costs can be compared. What the server did not count has no known cost.
    """
    return _Meter(_rates(settings)).cost


def teaches_by_dollars(settings: Settings) -> bool:
    """Whether what is learnt depends on the prices of endpoints."""
    return settings.evolution.reward == "quality_per_cost" and bool(_rates(settings))


def _rates(settings: Settings) -> dict[str, Rates]:
    """Prices by endpoint, or nothing where an agent's endpoint has none."""
    agents = (*settings.agents.instruction.values(), *settings.agents.response.values())
    prices = {agent.endpoint: wiring.price_of(settings.endpoints[agent.endpoint]) for agent in agents}
    rates = {name: price.rates() for name, price in prices.items() if price is not None}
    return rates if len(rates) == len(prices) else {}


@dataclass(frozen=True, slots=True)
class _Meter:
    """Prices by endpoint; without any it counts tokens."""

    rates: Mapping[str, Rates]

    def cost(self, candidate: Candidate) -> float | None:
        costs = [self._charged(charge) for charge in candidate.charges]
        known = [cost for cost in costs if cost is not None]
        return float(sum(known)) if costs and len(known) == len(costs) else None

    def _charged(self, charge: Charge) -> int | None:
        usage = charge.usage
        if usage.is_estimated or (self.rates and charge.endpoint not in self.rates):
            return None
        if self.rates:
            return self.rates[charge.endpoint].picodollars(usage)
        return usage.input_tokens + usage.output_tokens
