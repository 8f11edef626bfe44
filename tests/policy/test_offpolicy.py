"""Estimates against runs whose truth is known. `pytest --slow -s` writes the table of docs/replay.md."""

import math
import re
import sys
from dataclasses import replace
from random import Random
from statistics import fmean
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.records import Slot
from star_agents.policy.evidence import Evidence, refusals
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.fixed import FixedRule
from star_agents.policy.logged import LoggedDraw, LoggedSeed, LoggedStep
from star_agents.policy.offpolicy import Answer, Estimation, KnownShares, Per
from star_agents.policy.retrace import Retrace, RetraceOptions
from star_agents.policy.reward_models import ClusterMeans, PairMeans, clusters
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule
from tests.policy.logs import THREE, MadeUp
from tests.policy.sets import pairs

QUALITIES = {"easy": [0.9, 0.7, 0.5, 0.4, 0.3, 0.1], "hard": [0.5, 0.6, 0.5, 0.4, 0.5, 0.4]}
PAPER = PaperRule(rate=0.01, floor=0.01)
FAST = PaperRule(rate=0.03, floor=0.01)
EXP3 = Exp3Rule(rate=0.2)
THOMPSON = ThompsonRule(discount=0.998, floor=0.01)
UNIFORM = FixedRule()
A, B, C, D = pairs(4)


def asked(made_up: MadeUp, rule: UpdateRule, number: int, *, per: Per = "draw") -> tuple[Answer, float]:
    """The answer from one made-up run, and the truth."""
    clip = 20.0
    log, _ = made_up.run(number)
    seeds = [seed for step in log for seed in step.seeds]
    count = len(made_up.pairs)
    model = ClusterMeans(count, clusters([seed.embedding for seed in seeds])) if number % 2 else PairMeans(count)
    options = RetraceOptions(replacement=made_up.options.replacement, clip=clip)
    retrace = Retrace(made_up.pairs, log, rule, model, options)
    estimation, truths = Estimation(KnownShares(seeds), clip, per=per), []
    for traced in retrace.walk(Random(f"replay {number}")):
        estimation.add(traced)
        truths.append(made_up.truth(traced))
    answer = estimation.answer(retrace.pairs, retrace.mass)
    assert answer is not None
    return answer, fmean(truths)


def answered(*seeds: LoggedSeed, count: int = 4) -> Answer:
    """What a log of one batch tells of uniform draws."""
    retrace = Retrace(pairs(count), [LoggedStep(1, seeds)], UNIFORM, PairMeans(count), RetraceOptions())
    estimation = Estimation(KnownShares(seeds), RetraceOptions().clip)
    for traced in retrace.walk(Random(1)):
        estimation.add(traced)
    answer = estimation.answer(retrace.pairs, retrace.mass)
    assert answer is not None
    return answer


def one_draw(slot: Slot, reward: float | None) -> LoggedSeed:
    return LoggedSeed(0, 0, (LoggedDraw(slot, reward, reward is not None),))


def test_estimators_by_hand() -> None:
    """Two seeds, one draw each, of weights 1/2 and 2: IPS is (1/2 * 1 + 2 * 0.25) / 2, and so on by the book."""
    answer = answered(one_draw(Slot(1, A, propensity=0.5), 1.0), one_draw(Slot(1, B, propensity=0.125), 0.25))
    assert answer.ips.value == pytest.approx((0.5 + 0.5) / 2)
    assert answer.snips.value == pytest.approx((0.5 + 0.5) / 2.5)
    assert answer.dr.value == pytest.approx(0.5 + (0.5 * (1 - 0.5) + 2 * (0.25 - 0.5)) / 2)
    assert answer.logged.value == pytest.approx(0.625)
    assert answer.gain.value == pytest.approx(answer.dr.value - 0.625)
    assert answer.evidence.effective_seeds == pytest.approx(2.5**2 / (0.25 + 4))
    assert answer.dr.low == pytest.approx(answer.dr.value - 1.96 * answer.dr.error)
    assert answer.dr.high == pytest.approx(answer.dr.value + 1.96 * answer.dr.error)


@pytest.mark.parametrize("replacement", [False, True])
def test_a_seed_weighs_the_product_of_its_draws(replacement: bool) -> None:
    """Two draws of 1/4 and 1/3 (or 1/4 again), made with 1/2 and 1/6: the seed weighs their product, each draw less."""
    second = 1 / 4 if replacement else 1 / 3
    slots = Slot(1, A, propensity=1 / 2), Slot(2, B, propensity=1 / 6)
    seed = LoggedSeed(0, 0, (LoggedDraw(slots[0], 1.0, True), LoggedDraw(slots[1], 0.4, True)))
    options = RetraceOptions(replacement=replacement)
    (traced,) = Retrace(pairs(4), [LoggedStep(1, (seed,))], UNIFORM, PairMeans(4), options).walk(Random(1))
    product = (1 / 4 / (1 / 2)) * (second / (1 / 6))
    assert traced.ratio == pytest.approx(product)
    known = KnownShares([seed])
    expected: dict[Per, float] = {"seed": product * 0.7, "draw": (0.5 * 1.0 + traced.draws[1].ratio * 0.4) / 2}
    for per, ips in expected.items():
        estimation = Estimation(known, 20.0, per=per)
        estimation.add(traced)
        estimation.add(traced)
        answer = estimation.answer(pairs(4), Retrace(pairs(4), [], UNIFORM, PairMeans(4), options).mass)
        assert answer is not None
        assert answer.ips.value == pytest.approx(ips)


@settings(max_examples=15)
@given(st.floats(0.05, 1.0), st.integers(0, 50))
def test_a_constant_reward_is_known_exactly(reward: float, number: int) -> None:
    """Where everything earns the same, self-normalised weights say so whatever they are, and without a width."""
    log, _ = MadeUp(qualities=QUALITIES, rule=EXP3, seeds=64).run(number)
    constant = [
        replace(seed, draws=tuple(replace(draw, reward=reward) for draw in seed.draws))
        for step in log
        for seed in step.seeds
    ]
    answer = answered(*(replace(seed, version=0) for seed in constant), count=6)
    assert answer.snips.value == pytest.approx(reward)
    assert answer.snips.error == pytest.approx(0.0, abs=1e-9)


def test_unknown_rewards_are_taken_for_the_pair_s_others() -> None:
    """Half of A's rewards are lost: the other half counts twice, so the value is that of the full log."""
    slot = Slot(1, A, propensity=0.25)
    full = answered(*[one_draw(slot, 0.8)] * 4, one_draw(Slot(1, B, propensity=0.25), 0.4))
    lost = answered(*[one_draw(slot, 0.8), one_draw(slot, None)] * 2, one_draw(Slot(1, B, propensity=0.25), 0.4))
    for name in ("ips", "snips", "logged"):
        assert getattr(lost, name).value == pytest.approx(getattr(full, name).value)
    assert lost.evidence.known_share == pytest.approx(0.6)


def test_a_run_s_own_rule_is_worth_what_the_run_earned() -> None:
    """All weights are 1 then: IPS is the mean of the log, nothing is clipped, and every seed counts."""
    answer, _ = asked(MadeUp(qualities=QUALITIES, rule=PAPER), PAPER, 3)
    assert answer.ips.value == pytest.approx(answer.logged.value)
    assert answer.evidence.effective_seeds == pytest.approx(400)
    assert (answer.evidence.clipped, answer.evidence.mean_weight, answer.refusals) == (0, 1.0, ())


def test_nothing_can_be_said_of_nothing() -> None:
    """One seed has no spread, and a seed without a draw is none."""
    estimation = Estimation(KnownShares([]), 20.0)
    assert estimation.answer((), Retrace(pairs(2), [], UNIFORM, PairMeans(2), RetraceOptions()).mass) is None


SOUND = Evidence(
    seeds=1000,
    draws=3000,
    effective_seeds=500.0,
    mean_weight=1.01,
    mean_weight_error=0.01,
    largest_ratio=9.0,
    clipped=0,
    clipped_share=0.0,
    known_share=1.0,
    unjudged_share=0.0,
    unseen_share=0.0,
    unseen=(),
)


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (replace(SOUND, unseen_share=0.2, unseen=(A, B)), r"20.0% .*\(keep\+r0, keep\+r1\): their propensity was 0"),
        (replace(SOUND, effective_seeds=40.0), "leave 40 effective seeds of 1000, and 100 are needed"),
        (replace(SOUND, clipped_share=0.2, clipped=7, largest_ratio=300.0), r"clipping takes 20.0% .*7 times"),
        (replace(SOUND, mean_weight=1.4), "average 1.400 where they must average 1"),
        (replace(SOUND, mean_weight=0.5), "average 0.500"),
        (replace(SOUND, mean_weight=0.96), "average 0.960"),
        (replace(SOUND, unjudged_share=0.3), r"lazy judging left out 30.0% .*judge.policy: all"),
    ],
)
def test_it_refuses_where_it_cannot_tell(evidence: Evidence, why: str) -> None:
    """Each lack has its own words, and alone is reason enough."""
    (told,) = refusals(evidence)
    assert re.search(why, told)
    assert not refusals(SOUND)


def test_pairs_that_were_never_drawn_are_no_ground_for_an_answer() -> None:
    """A run that drew two of four pairs says nothing of a rule that draws all four."""
    seeds = [one_draw(Slot(1, (A, B)[number % 2], propensity=0.5), 1.0) for number in range(400)]
    (told,) = [one for one in answered(*seeds).refusals if "propensity" in one and "r2" in one]
    assert told.startswith("50.0% of the rule's draws would go to pairs")


def test_propensities_that_are_not_those_of_the_draws_are_found() -> None:
    """Draws of A alone, said to have been made with 1/16: their weights are 4 on average."""
    seeds = [one_draw(Slot(1, pairs(4)[number % 4], propensity=1 / 16), 1.0) for number in range(400)]
    assert any("must average 1" in told for told in answered(*seeds).refusals)


CASES = [
    pytest.param(PAPER, UNIFORM, THREE, id="paper-uniform"),
    pytest.param(UNIFORM, FAST, THREE, id="uniform-paper"),
    pytest.param(PAPER, EXP3, THREE, id="paper-exp3"),
    pytest.param(EXP3, THOMPSON, THREE, id="exp3-thompson"),
    pytest.param(UNIFORM, FAST, DrawOptions(pairs_per_seed=3, from_memory=1, replacement=True), id="replacement"),
]


ANSWERED: dict[Per, float] = {"seed": 0.7, "draw": 0.9}
"""The share of runs that are answered at least: whole seeds tell less."""


def coverage(logging: UpdateRule, rule: UpdateRule, options: DrawOptions, runs: int, per: Per) -> dict[str, float]:
    """The share of runs whose interval holds the truth, by estimator; runs that are refused do not count."""
    made_up = MadeUp(qualities=QUALITIES, rule=logging, lost=0.05, options=options)
    held: dict[str, list[bool]] = {"ips": [], "snips": [], "dr": []}
    for number in range(runs):
        answer, truth = asked(made_up, rule, number, per=per)
        for name, found in held.items():
            estimate = getattr(answer, name)
            if not answer.refusals:
                found.append(estimate.low <= truth <= estimate.high)
    assert len(held["dr"]) >= ANSWERED[per] * runs
    return {name: fmean(found) for name, found in held.items()}


@pytest.mark.parametrize(("logging", "rule", "options"), CASES[:2])
def test_intervals_hold_the_truth(logging: UpdateRule, rule: UpdateRule, options: DrawOptions) -> None:
    """In nearly all of a few runs; how nearly is for the slow test."""
    assert min(coverage(logging, rule, options, 40, "draw").values()) >= 0.9


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("per", get_args(Per))
@pytest.mark.parametrize(("logging", "rule", "options"), CASES)
def test_coverage(logging: UpdateRule, rule: UpdateRule, options: DrawOptions, per: Per) -> None:
    """Of 500 runs, 90 to 99 in 100 intervals hold the truth, for every estimator."""
    shares = coverage(logging, rule, options, 500, per)
    sys.stdout.write(f"\n{shares}")
    assert all(0.90 <= share <= 0.99 for share in shares.values())


@pytest.mark.slow
def test_doubly_robust_is_the_narrowest() -> None:
    """Over many runs its errors are smaller than those of plain weights, and neither is off to one side."""
    made_up = MadeUp(qualities=QUALITIES, rule=EXP3)
    errors: dict[str, list[float]] = {"ips": [], "dr": []}
    for number in range(100):
        answer, truth = asked(made_up, THOMPSON, number)
        for name, found in errors.items():
            found.append(getattr(answer, name).value - truth)
    spread = {name: math.sqrt(fmean(error**2 for error in found)) for name, found in errors.items()}
    assert spread["dr"] < spread["ips"]
    assert all(abs(fmean(found)) < 3 * spread[name] / 10 for name, found in errors.items())
