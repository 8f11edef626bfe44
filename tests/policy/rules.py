"""What tests of the rules of learning share: strategies, and a bandit of known means."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from star_agents.core.records import PairWeights
from star_agents.core.rng import derive
from star_agents.policy.absence import FilledRule
from star_agents.policy.credits import Credit, importances
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule, uniform
from tests.policy.sets import pairs

PAIRS = pairs(6)

floors = st.floats(0.0, 0.16)
batches = st.lists(st.builds(Credit, st.sampled_from(PAIRS), st.floats(0.0, 1.0), st.floats(0.2, 50.0)), max_size=30)

rules: st.SearchStrategy[UpdateRule] = st.one_of(
    st.builds(PaperRule, rate=st.floats(1e-6, 2.0), floor=floors),
    st.builds(Exp3Rule, rate=st.floats(1e-6, 1.0), floor=floors),
    st.builds(ThompsonRule, discount=st.floats(0.5, 1.0), floor=floors),
    st.builds(FilledRule, st.builds(PaperRule, rate=st.floats(1e-6, 2.0), floor=floors)),
    st.builds(FilledRule, st.builds(Exp3Rule, rate=st.floats(1e-6, 1.0), floor=floors)),
)


def floored(rule: UpdateRule, floor: float) -> UpdateRule:
    """The same rule with this floor."""
    match rule:
        case FilledRule():
            return FilledRule(floored(rule.rule, floor))
        case PaperRule() | Exp3Rule() | ThompsonRule():
            return replace(rule, floor=floor)
    raise TypeError(f"no floor for a {type(rule).__name__}")


def coin(mean: float, rng: Random) -> float:
    """A reward of 0 or 1 with this mean."""
    return 1.0 if rng.random() < mean else 0.0


def play(rule: UpdateRule, means: Sequence[Sequence[float]], *, draws: int = 1, seed: int = 0) -> list[PairWeights]:
    """Every version of a run over as many seeds as there are rows of means; one batch a seed, rewards 0 or 1."""
    versions = [uniform(pairs(len(means[0])))]
    options = DrawOptions(pairs_per_seed=draws)
    for number, row in enumerate(means):
        rng = derive(seed, "play", number)
        slots = draw(versions[-1], base=(), pool=(), masked=(), options=options, rng=rng)
        factors = importances(slots, replacement=False)
        earned = [
            Credit(slot.pair, coin(row[versions[0].pairs.index(slot.pair)], rng), factors[slot.number])
            for slot in slots
        ]
        versions.append(rule.update(versions[-1], earned))
    return versions
