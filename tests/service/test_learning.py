"""From `evolution:` to the parts that learn: what each key builds, and which keys contradict each other."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from star_agents.core.calls import Charge, Usage
from star_agents.core.errors import ConfigError
from star_agents.core.records import Candidate
from star_agents.pipeline.cadence import Cadence
from star_agents.policy.absence import FilledRule
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import HORIZON, PaperRule, UpdateRule
from star_agents.service.config.learning import cadence_of, cost_of, crediting_of, rule_of
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.identity import differences, record
from tests.service.configs import SOUND

PRICE = {"input": 1.0, "output": 4.0}


def configured(evolution: Mapping[str, object], **sections: Mapping[str, Any]) -> Settings:
    """The sound config with this `evolution`, and keys added to other sections."""
    merged = {name: {**SOUND.get(name, {}), **keys} for name, keys in sections.items()}
    return check(parse_yaml(yaml.safe_dump(SOUND | merged | {"evolution": dict(evolution)}), "run.yaml"))


def priced(price: Mapping[str, float] | None) -> dict[str, Any]:
    return {"local": SOUND["endpoints"]["local"] | ({} if price is None else {"price": dict(price)})}


@pytest.mark.parametrize(
    ("evolution", "expected"),
    [
        ({}, FilledRule(PaperRule(rate=HORIZON / (2 * 100), floor=0.001))),
        ({"faults": "nothing"}, PaperRule(rate=HORIZON / (2 * 100), floor=0.001)),
        ({"credit": "winner"}, PaperRule(rate=HORIZON / (2 * 100), floor=0.001)),
        ({"rate": 0.25, "floor": 0.0}, FilledRule(PaperRule(rate=0.25))),
        ({"rule": "exp3"}, FilledRule(Exp3Rule(rate=math.sqrt(3 * math.log(3) / ((math.e - 1) * 100)), floor=0.001))),
        ({"rule": "exp3", "rate": 0.5}, FilledRule(Exp3Rule(rate=0.5, floor=0.001))),
        ({"rule": "thompson"}, ThompsonRule(discount=1 - 1 / 300, floor=0.001)),
        ({"rule": "thompson", "discount": 1.0}, ThompsonRule(floor=0.001)),
    ],
)
def test_a_rule_is_built_with_its_numbers(evolution: dict[str, object], expected: UpdateRule) -> None:
    """`auto` stands for what the rule's own law says of a run of 100 seeds and 3 pairs."""
    assert rule_of(configured(evolution), num_pairs=3, num_seeds=100) == expected


@pytest.mark.parametrize(
    ("evolution", "expected"),
    [
        ({}, Cadence(batch_size=32, linger_s=2.0)),
        ({"max_lag": 3}, Cadence(batch_size=32, linger_s=2.0, max_lag=3)),
        ({"order": "ticket", "max_lag": 1}, Cadence(batch_size=32, linger_s=2.0, max_lag=1, in_order=True)),
        ({"mode": "round"}, Cadence(batch_size=100, max_lag=0, in_order=True)),
        ({"mode": "round", "round_seeds": 7}, Cadence(batch_size=7, max_lag=0, in_order=True)),
    ],
)
def test_a_cadence_is_built(evolution: dict[str, object], expected: Cadence) -> None:
    """A round without a number is a pass over all 100 seeds."""
    assert cadence_of(configured(evolution).evolution, num_seeds=100) == expected


@pytest.mark.parametrize(
    ("evolution", "sampling", "why"),
    [
        ({"rule": "ucb"}, {}, r"evolution\.rule: should be 'paper', 'exp3' or 'thompson'"),
        ({"rule": "exp3", "rate": 1.5}, {}, r"evolution\.rate: of rule exp3 .* at most 1"),
        ({"rule": "thompson", "rate": 0.1}, {}, r"evolution\.rate: rule thompson has none; leave it out"),
        ({"discount": 0.9}, {}, r"evolution\.discount: rule paper forgets nothing"),
        ({"order": "ticket"}, {}, r"evolution\.order: ticket needs max_lag"),
        ({"mode": "round", "max_lag": 1}, {}, r"evolution\.max_lag: a round .* leave it out"),
        ({"round_seeds": 5}, {}, r"evolution\.round_seeds: there are no rounds"),
        ({"max_lag": -1}, {}, r"evolution\.max_lag: should be greater than or equal to 0"),
        ({"order": "ticket", "max_lag": 1}, {"capacity_aware": True}, r"sampling\.capacity_aware: .* set false"),
    ],
)
def test_contradictions_are_named_with_their_mend(
    evolution: dict[str, object], sampling: dict[str, object], why: str
) -> None:
    """Each at its dotted path."""
    with pytest.raises(ConfigError, match=why):
        configured(evolution, sampling=sampling)


def candidate(*charges: Charge) -> Candidate:
    return Candidate(1, "ask", "answer", "m", charges=charges)


def test_cost_is_in_dollars_where_everything_has_a_price() -> None:
    """Answer and rewrite, each at its endpoint's price; what the server did not count, or nobody noted, is unknown."""
    cost = cost_of(configured({}, endpoints=priced(PRICE)))
    answer, rewrite = Charge("local", Usage(10, 5)), Charge("local", Usage(3, 1))
    assert cost(candidate(rewrite, answer)) == (10 + 4 * 5 + 3 + 4) * 1e6  # picodollars
    assert cost(candidate(rewrite, Charge("local", Usage(10, 5, is_estimated=True)))) is None
    assert cost(candidate(answer, Charge("gone", Usage(3, 1)))) is None
    assert cost(candidate()) is None


def test_cost_is_in_tokens_where_a_price_is_unknown() -> None:
    """Dollars and tokens are never mixed."""
    cost = cost_of(configured({}, endpoints=priced(None)))
    assert cost(candidate(Charge("local", Usage(10, 5)), Charge("local", Usage(3, 1)))) == 19


def test_quality_per_cost_needs_prices_above_nothing() -> None:
    """Beside what is free everything else is worth nothing, so the mend is to say what it costs."""
    free = priced({"input": 0.0, "output": 0.0})
    with pytest.raises(ConfigError, match=r"endpoints\.local\.price: .*cannot compare with what is free"):
        configured({"reward": "quality_per_cost"}, endpoints=free)
    assert crediting_of(configured({}, endpoints=free)).cost is None
    assert crediting_of(configured({"reward": "quality_per_cost"}, endpoints=priced(PRICE))).cost is not None


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The paths in which a resumed run's config would differ."""
    return [line.split(":")[0] for line in differences(*(record(configured(one), {}) for one in (before, after)))]


def test_another_rule_is_another_run() -> None:
    """What the log is the fold of may not change; how batches are formed may."""
    assert changed({}, {"rule": "exp3"}) == ["evolution.rule"]
    assert changed({}, {"reward": "quality_per_cost"}) == ["evolution.reward"]
    assert changed({}, {"mode": "round", "round_seeds": 3}) == ["evolution.mode", "evolution.round_seeds"]
    assert changed({"rule": "thompson"}, {"rule": "thompson", "discount": 0.5}) == ["evolution.discount"]
    assert changed({}, {"order": "ticket", "max_lag": 2, "batch_size": 4}) == []


@pytest.mark.parametrize(
    ("reward", "expected"), [("quality", []), ("quality_per_cost", ["endpoints.local.price.input"])]
)
def test_prices_that_teach_may_not_change(reward: str, expected: list[str]) -> None:
    """A price may be put right, unless the weights are made of it."""
    before, after = (
        record(configured({"reward": reward}, endpoints=priced({"input": dear, "output": 4.0})), {})
        for dear in (1.0, 2.0)
    )
    assert [line.split(":")[0] for line in differences(before, after)] == expected
