from dataclasses import replace
from random import Random

import pytest

from star_agents.core.records import Epoch, Slot
from star_agents.policy.absence import FilledRule
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.fixed import FixedRule
from star_agents.policy.logged import LoggedDraw, LoggedSeed, LoggedStep, all_pairs
from star_agents.policy.retrace import Retrace, RetraceOptions, TracedSeed
from star_agents.policy.reward_models import PairMeans
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule
from tests.policy.logs import MadeUp
from tests.policy.sets import pairs

RULES: list[UpdateRule] = [
    PaperRule(rate=0.05, floor=0.01),
    Exp3Rule(rate=0.2),
    FilledRule(PaperRule(rate=0.05, floor=0.01)),
    ThompsonRule(discount=0.99, floor=0.01),
]
QUALITIES = {"easy": [0.9, 0.7, 0.5, 0.4, 0.3, 0.1], "hard": [0.5, 0.6, 0.5, 0.4, 0.5, 0.4]}
A, B, C, D = pairs(4)


def retraced(
    log: list[LoggedStep], rule: UpdateRule, *, count: int = 4, options: RetraceOptions | None = None
) -> tuple[Retrace, list[TracedSeed]]:
    """The whole walk."""
    model = PairMeans(len(all_pairs(pairs(count), log)))
    retrace = Retrace(pairs(count), log, rule, model, options or RetraceOptions())
    return retrace, list(retrace.walk(Random(5)))


def seed_of(*draws: tuple[Slot, float | None], number: int = 0, version: int = 0) -> LoggedSeed:
    return LoggedSeed(number, version, tuple(LoggedDraw(slot, reward, reward is not None) for slot, reward in draws))


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("replacement", [False, True])
def test_a_run_s_own_rule_is_retraced_bit_for_bit(rule: UpdateRule, replacement: bool) -> None:
    """With lag, masks, pools and lost rewards: every ratio is exactly 1, and every version is the run's."""
    options = DrawOptions(pairs_per_seed=3, from_memory=1, replacement=replacement)
    told = 0.5 * isinstance(rule, FilledRule)
    log, history = MadeUp(qualities=QUALITIES, rule=rule, lost=0.1, faults=told, options=options).run(1)
    retrace, traced = retraced(log, rule, count=6, options=RetraceOptions(replacement=replacement))
    assert {one.ratio for seed in traced for one in seed.draws} == {1.0}
    assert all(seed.weights == history[seed.seed.version] for seed in traced)
    assert retrace.weights == history[-1]


def test_changes_of_the_pool_are_retraced() -> None:
    """A pair that joins and one that leaves do so under the rule too, and the run's own weights come out."""
    rule = RULES[0]
    made_up = MadeUp(qualities=QUALITIES, rule=rule, seeds=64, lag=0)
    log, history = made_up.run(2)
    newcomer = replace(A, response="new")
    epoch = LoggedStep(5, epoch=Epoch(5, added=(newcomer,), retired=(A,), reason="test"))
    retrace, _ = retraced([*log, epoch], rule, count=6)
    assert retrace.weights.version == history[-1].version + 1
    assert retrace.weights.pairs == (*history[-1].pairs[1:], newcomer)
    assert retrace.pairs == (*pairs(6), newcomer)


def test_slots_without_replacement_multiply() -> None:
    """Uniform over four: 1/4, then 1/3; the run drew them with 1/2 and 1/6, so the ratios are 1/2 and 1/2 * 2."""
    seed = seed_of((Slot(1, A, propensity=0.5), 1.0), (Slot(2, B, propensity=1 / 6), 1.0))
    _, (traced,) = retraced([LoggedStep(1, (seed,))], FixedRule())
    assert [one.chance for one in traced.draws] == pytest.approx([1 / 4, 1 / 3])
    assert [one.ratio for one in traced.draws] == pytest.approx([1 / 2, 1.0])
    assert [one.before for one in traced.draws] == pytest.approx([1.0, 1 / 2])


def test_slots_with_replacement_stand_alone() -> None:
    """Nothing changes after a draw, so nothing multiplies, and a pair may come twice."""
    seed = seed_of((Slot(1, A, propensity=0.5), 1.0), (Slot(2, A, propensity=0.5), 1.0))
    _, (traced,) = retraced([LoggedStep(1, (seed,))], FixedRule(), options=RetraceOptions(replacement=True))
    assert [one.ratio for one in traced.draws] == pytest.approx([1 / 2, 1 / 2])


def test_the_pool_and_the_outside_are_urns_of_their_own() -> None:
    """Of a pool of two one is drawn with 1/2; of the two outside one is barred, so the other is certain."""
    slots = (Slot(1, A, propensity=0.5, from_memory=True), Slot(2, C, propensity=1.0))
    seed = LoggedSeed(0, 0, tuple(LoggedDraw(slot, 1.0, True) for slot in slots), frozenset((A, B)), frozenset((D,)))
    retrace, (traced,) = retraced([LoggedStep(1, (seed,))], FixedRule())
    assert [one.ratio for one in traced.draws] == [1.0, 1.0]
    assert retrace.mass.tolist() == [0.5, 0.5, 1.0, 0.0]


def test_a_ratio_is_cut_at_the_clip() -> None:
    """The weight is; the ratio is told as it was."""
    seed = seed_of((Slot(1, A, propensity=0.001), 1.0))
    _, (traced,) = retraced([LoggedStep(1, (seed,))], FixedRule(), options=RetraceOptions(clip=10.0))
    (one,) = traced.draws
    assert one.ratio == pytest.approx(250.0)
    assert one.weight == 10.0


def test_a_draw_teaches_as_often_as_the_rule_would_have_made_it() -> None:
    """A draw of ratio 2 moves Eq. 8 as two draws do, one of ratio 1/2 every other time; unknown rewards never."""
    twice = seed_of((Slot(1, A, propensity=0.125), 0.5))
    retrace, _ = retraced([LoggedStep(1, (twice,))], PaperRule(rate=1.0))
    assert retrace.weights.p[0] == pytest.approx((0.25 + 0.5 + 0.5 * 1.5) / 1.5**2)
    unknown = seed_of((Slot(1, A, propensity=0.125), None))
    assert retraced([LoggedStep(1, (unknown,))], PaperRule(rate=1.0))[0].weights.p == (0.25,) * 4
    halves = [seed_of((Slot(1, A, propensity=0.5), 1.0), number=number) for number in range(2000)]
    rule = ThompsonRule()
    retrace, _ = retraced([LoggedStep(1, tuple(halves))], rule)
    assert retrace.weights.state[0] == pytest.approx(1000, rel=0.05)


def test_batches_can_be_formed_anew() -> None:
    """Ten seeds in batches of three make three versions; the last seed waits, as nothing more came."""
    steps = [LoggedStep(one + 1, (seed_of((Slot(1, A, propensity=0.25), 1.0), number=one),)) for one in range(10)]
    retrace, traced = retraced(steps, PaperRule(rate=0.1), options=RetraceOptions(batch_size=3))
    assert retrace.weights.version == 3
    assert [seed.weights.version for seed in traced] == [0] * 10
    late = LoggedStep(11, (seed_of((Slot(1, A, propensity=0.25), 1.0), number=10, version=7),))
    _, traced = retraced([*steps, late], PaperRule(rate=0.1), options=RetraceOptions(batch_size=3))
    assert traced[-1].weights.version == 2


def test_the_model_is_asked_before_it_is_told() -> None:
    """The first batch is predicted from nothing, the second from the first."""
    steps = [LoggedStep(one + 1, (seed_of((Slot(1, A, propensity=0.25), 1.0), number=one),)) for one in range(2)]
    _, (first, second) = retraced(steps, FixedRule())
    assert (first.draws[0].predicted, first.draws[0].expected) == (0.5, 0.5)
    assert second.draws[0].predicted == 1.0
    assert second.draws[0].expected == 1.0
