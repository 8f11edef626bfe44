"""Replay against runs that another rule really made, in the laboratory: the same stages, agents of known quality."""

import math
from pathlib import Path
from statistics import fmean, stdev

import pytest

from star_agents.lab.ledger import Ledger
from star_agents.lab.trial import Laboratory
from star_agents.lab.virtual import run_virtual
from star_agents.policy.logged import LoggedStep, logged
from star_agents.service import learning
from star_agents.service.overrides import override
from star_agents.service.replay import Question, Recorded, replay
from star_agents.service.validation import check
from star_agents.service.yaml_source import read_yaml

RUNS, SEEDS = 8, 600

CROWDED = 0.02
"""How much less a draw may earn where better ones are drawn beside it: Eq. 5 divides by the best gap of the seed."""


def laboratory(*changes: str) -> Laboratory:
    source = read_yaml(Path("configs/laboratory.yaml"))
    override(source, [f"laboratory.seeds={SEEDS}", *changes])
    return Laboratory.build(check(source))


def recorded(made_up: Laboratory, number: int) -> Recorded:
    """A simulated run, as its database would tell it."""
    settings = made_up.settings_of(number)
    ledger = Ledger(made_up.world, replacement=settings.sampling.replacement, keep_log=True)
    run_virtual(made_up.simulate(settings, ledger))
    options = learning.crediting_of(settings)
    log = tuple(
        LoggedStep(update.weights.version, tuple(logged(item, options) for item in update.graded))
        for update in ledger.log
    )
    return Recorded(settings=settings, pairs=made_up.inputs.pool, log=log, weights=ledger.log[-1].weights)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("question", "changes"),
    [
        (Question(rule="paper", rate=0.003), ["evolution.rate=0.003"]),
        (Question(rule="thompson", floor=0.005), ["evolution.rule=thompson", "evolution.floor=0.005"]),
    ],
    ids=["paper", "thompson"],
)
def test_what_replay_says_is_what_the_rule_earns(question: Question, changes: list[str]) -> None:
    """Logs of a slow rule foretell a faster one: over a few runs, to chance and to what crowding takes."""
    logs, world = laboratory("evolution.rate=0.0003"), laboratory(*changes)
    foretold, earned = [], []
    for number in range(RUNS):
        told = replay(recorded(logs, number), question)
        assert told.answer is not None
        assert not told.refusals
        foretold.append(told.answer.dr.value)
        own = replay(recorded(world, 1000 + number), question).answer
        assert own is not None
        earned.append(own.logged.value)
    error = math.hypot(stdev(foretold), stdev(earned)) / math.sqrt(RUNS)
    assert -3 * error < fmean(foretold) - fmean(earned) < 3 * error + CROWDED
