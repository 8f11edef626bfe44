"""Gold probes: which seeds carry one, and what a gold set must be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError
from star_agents.policy.injection import suspicions
from star_agents.policy.probes import GoldPair, Probes, builtin_gold, read_gold
from star_agents.policy.verdicts import is_contentless

GOLD = builtin_gold()


def test_the_builtin_set() -> None:
    """At least 30 pairs, each question once, no answer that a rule would decide or that looks like an attack."""
    assert len({pair.instruction for pair in GOLD}) == len(GOLD) >= 30
    for pair in GOLD:
        for text in (pair.better, pair.worse):
            assert not is_contentless(text, pair.instruction) or text == pair.worse
            assert suspicions(text) == ()


def test_length_tells_nothing() -> None:
    """The better answer is the longer one about as often as not, so that a judge of length is found out."""
    longer = sum(len(pair.better) > len(pair.worse) for pair in GOLD)
    assert 0.25 * len(GOLD) < longer < 0.75 * len(GOLD)


def test_a_probe_follows_from_the_seed_alone() -> None:
    """The same seeds carry the same probes in every start; about the share that was asked for; each side as often."""
    probes = Probes(gold=GOLD, rate=0.05)
    drawn = {seed: probes.draw(17, seed) for seed in range(20_000)}
    assert drawn == {seed: probes.draw(17, seed) for seed in reversed(range(20_000))}
    asked = [one for one in drawn.values() if one is not None]
    assert 900 < len(asked) < 1100
    assert 0.45 < sum(one.expected == "win" for one in asked) / len(asked) < 0.55
    assert {one.gold for one in asked} == set(range(len(GOLD)))
    assert {seed for seed, one in drawn.items() if one} != {seed for seed in drawn if probes.draw(18, seed)}


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_rate_keeps_the_probes_of_a_lower_one(run_seed: int, seed: int, one: float, other: float) -> None:
    """So that a run whose rate is changed asks nothing that it has asked already."""
    low, high = (Probes(gold=GOLD, rate=rate).draw(run_seed, seed) for rate in sorted((one, other)))
    assert low is None or low == high


def test_what_is_expected_is_where_the_better_answer_stands() -> None:
    """`win` where the candidate is the better one, `loss` where the reference is."""
    probes = Probes(gold=(GoldPair("q", "good", "bad"),), rate=1.0)
    for drawn in (probes.draw(1, seed) for seed in range(50)):
        assert drawn is not None
        texts = (drawn.reference.response, drawn.candidate.response)
        assert texts == (("bad", "good") if drawn.expected == "win" else ("good", "bad"))


def test_reading_a_set_of_ones_own(tmp_path: Path) -> None:
    """JSON lines; blank ones are passed over."""
    text = '{"instruction": "q", "better": "g", "worse": "b\\u2028c"}\n\n'
    assert read_gold("mine.jsonl", text) == (GoldPair("q", "g", "b\u2028c"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no pair"),
        ("\n{", "line 2: must be an object with instruction, better, worse"),
        ('{"instruction": "q", "better": "g"}', "line 1: must be an object"),
        ('{"instruction": "q", "better": "g", "worse": "b", "why": "x"}', "line 1: must be an object"),
        ("[1]", "line 1: must be an object"),
        ('{"instruction": "q", "better": "g", "worse": 3}', "must be texts that are not blank"),
        ('{"instruction": "q", "better": " ", "worse": "b"}', "must be texts that are not blank"),
        ('{"instruction": "q", "better": "g", "worse": "g"}', "both answers are the same"),
    ],
)
def test_what_is_no_gold_set(text: str, said: str) -> None:
    """The key, the file, the line and the mend are named."""
    with pytest.raises(ConfigError, match=r"judge\.probes\.path: mine\.jsonl") as caught:
        read_gold("mine.jsonl", text)
    assert said in str(caught.value)
