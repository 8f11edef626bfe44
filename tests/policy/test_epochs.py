"""The pool changes while a run goes on: nothing of what was learnt is lost, and nobody draws who has left."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, Epoch, PairWeights
from star_agents.policy import epochs, tally
from star_agents.policy.credits import Credit
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.sampling import DrawOptions, draw
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule, uniform
from tests.policy.rules import PAIRS, batches, floored, rules
from tests.policy.sets import graded, pairs

BASE = AgentPair("keep", "base")
NEW = AgentPair("keep", "new")
P = (0.5, 0.3, 0.2)
THREE = PairWeights(4, PAIRS[:3], P)


def change(weights: PairWeights, added: tuple[AgentPair, ...] = (), retired: tuple[AgentPair, ...] = ()) -> Epoch:
    return Epoch(weights.version + 1, added, retired, "a test")


def test_a_new_pair_starts_with_the_mean_weight() -> None:
    """The others make room in proportion."""
    after = epochs.apply(THREE, change(THREE, (NEW,)), PaperRule(rate=0.1))
    assert after.pairs == (*PAIRS[:3], NEW)
    assert after.version == 5
    assert after.p == pytest.approx((*(0.75 * p for p in P), 0.25))


def test_the_mass_of_a_retired_pair_is_shared_out_in_proportion() -> None:
    """Who had more gets more."""
    after = epochs.apply(THREE, change(THREE, (), PAIRS[1:2]), PaperRule(rate=0.1))
    assert after.pairs == (PAIRS[0], PAIRS[2])
    assert after.p == pytest.approx((5 / 7, 2 / 7))


def test_a_whole_pool_may_be_replaced() -> None:
    """Everybody leaves and two join: alike, and the floor is kept."""
    joined = pairs(8)[6:]
    after = epochs.apply(THREE, change(THREE, joined, THREE.pairs), PaperRule(rate=0.1, floor=0.1))
    assert (after.pairs, after.p) == (joined, (0.5, 0.5))


def test_a_state_goes_with_its_pair() -> None:
    """Of exp3 a newcomer has the mean weight; of thompson no evidence, and who leaves takes its own along."""
    known = PairWeights(4, PAIRS[:3], P, (0.0, -1.0, -2.0))
    swap = change(known, (NEW,), PAIRS[:1])
    mean = math.log((math.exp(-1.0) + math.exp(-2.0)) / 2)
    assert epochs.apply(known, swap, Exp3Rule(rate=0.1)).state == pytest.approx((-1.0, -2.0, mean))
    counted = PairWeights(4, PAIRS[:3], P, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    assert epochs.apply(counted, swap, ThompsonRule()).state == (3.0, 4.0, 5.0, 6.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "rule", [PaperRule(rate=0.1), Exp3Rule(rate=0.1), ThompsonRule()], ids=lambda rule: type(rule).__name__
)
def test_a_change_before_anything_was_learnt(rule: UpdateRule) -> None:
    """Weights without a state stay without one, and learning begins as ever."""
    start = uniform(PAIRS[:3])
    after = epochs.apply(start, change(start, (NEW,), PAIRS[:1]), rule)
    assert after.state == ()
    assert after.p == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert rule.update(after, [Credit(NEW, 1.0)]).p[-1] > 1 / 3


def steps(draw_value: st.DrawFn) -> list[epochs.Step]:
    """A log of batches and of changes that can be made, for the pool of `PAIRS`."""
    present, absent = list(PAIRS), [NEW, *pairs(9)[6:]]
    log: list[epochs.Step] = []
    for version in range(1, 1 + draw_value(st.integers(1, 6))):
        if draw_value(st.booleans()):
            log.append(draw_value(batches))
            continue
        added = tuple(absent[: draw_value(st.integers(0, len(absent)))])
        retired = tuple(present[: draw_value(st.integers(0, len(present) - 1))])
        if not added and not retired:
            added = retired = ()
        present = [pair for pair in present if pair not in retired] + list(added)
        absent = [pair for pair in absent if pair not in added] + list(retired)
        log.append(Epoch(version, added, retired, "drawn"))
    return log


logs = st.composite(steps)()


@given(logs, rules, st.integers(0, 5))
def test_the_fold_of_a_log_with_epochs_is_the_live_state(log: list[epochs.Step], rule: UpdateRule, cut: int) -> None:
    """Step by step or from the middle: version, pool, weights and state are the same, bit for bit, and are weights."""
    rule = floored(rule, 0.01)
    live = uniform(PAIRS)
    for step in log:
        live = epochs.fold(live, [step], rule)
        assert math.fsum(live.p) == pytest.approx(1.0, abs=1e-12)
        assert min(live.p) >= 0.01
        assert len(live.p) == len(live.pairs)
        assert len(live.state) % len(live.pairs) == 0
    assert live.version == len(log)
    assert epochs.fold(uniform(PAIRS), log, rule) == live
    assert epochs.fold(epochs.fold(uniform(PAIRS), log[:cut], rule), log[cut:], rule) == live
    made = [step for step in log if isinstance(step, Epoch)]
    assert epochs.pairs_at(PAIRS, made) == live.pairs
    assert epochs.pairs_at(PAIRS, made, 0) == PAIRS


@given(logs, st.integers(0, 100))
def test_a_retired_pair_is_never_drawn(log: list[epochs.Step], seed: int) -> None:
    """Not even from a memory that still proposes it."""
    weights = epochs.fold(uniform(PAIRS), log, PaperRule(rate=0.1))
    gone = {pair for step in log if isinstance(step, Epoch) for pair in step.retired} - set(weights.pairs)
    options = DrawOptions(pairs_per_seed=4, from_memory=2)
    slots = draw(weights, base=(BASE,), pool=tuple(sorted(gone)), masked=(), options=options, rng=Random(seed))
    assert not gone & {slot.pair for slot in slots}


def test_an_answer_that_comes_after_its_pair_was_retired_teaches_nothing() -> None:
    """Its seed was planned before."""
    weights = epochs.apply(THREE, change(THREE, (), PAIRS[:1]), PaperRule(rate=0.1))
    late = [Credit(PAIRS[0], 1.0), Credit(PAIRS[1], 0.5)]
    assert epochs.taught(weights, late) == (late[1],)
    assert epochs.taught(THREE, late) == tuple(late)


@pytest.mark.parametrize(
    ("added", "retired", "why"),
    [
        ((PAIRS[0],), (), r"keep\+r0 is in the pool already"),
        ((BASE,), (), r"keep\+base is a base pair"),
        ((), (NEW,), r"keep\+new is not in the pool"),
        ((NEW, NEW), (), r"keep\+new is named twice"),
        ((), (), "name a pair"),
        ((), PAIRS[:3], "no pair would be left"),
        (pairs(13)[6:], (), r"evolution.floor: 10 pairs at 0.1 each leave nothing"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(
    added: tuple[AgentPair, ...], retired: tuple[AgentPair, ...], why: str
) -> None:
    """Each reason names what to mend."""
    with pytest.raises(ConfigError, match=why):
        epochs.check(THREE, change(THREE, added, retired), base=(BASE,), floor=0.1)


def test_the_tally_knows_who_joined_and_who_left() -> None:
    """A newcomer is counted from 0, who left keeps its counts and is marked, and may come back."""
    counted = tally.count(tally.start((BASE,), PAIRS[:2]), [graded([0.5, 0.5, 0.5])])
    left = epochs.count(counted, Epoch(1, (NEW,), PAIRS[:1], "out"))
    by_pair = {item.pair: item for item in left.pairs}
    assert (by_pair[PAIRS[0]].is_retired, by_pair[PAIRS[0]].draws) == (True, 1)
    assert (by_pair[NEW].is_retired, by_pair[NEW].draws) == (False, 0)
    assert not by_pair[BASE].is_retired
    back = epochs.count(left, Epoch(2, PAIRS[:1], (NEW,), "back"))
    assert [item.pair for item in back.pairs if item.is_retired] == [NEW]
