"""Gold probes in a whole run on virtual time: asked, accounted, watched, and part of no row."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from star_agents.core.calls import CallKey, Completion, FinishReason, Purpose, Request, Usage
from star_agents.core.errors import FilteredReplyError
from star_agents.core.records import Graded
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.graph import Stages
from star_agents.policy.drift import DriftOptions
from star_agents.policy.probes import Probes, builtin_gold
from tests.fakes.store import MemoryStore
from tests.flow.world import Run, World
from tests.loops import run_virtual

PROBED = (Purpose.PROBE, Purpose.PROBE_SWAPPED)
GOLD = builtin_gold()
BETTER = {pair.better for pair in GOLD}


def always_right(_: int) -> bool:
    return True


@dataclass(slots=True)
class ProbedWorld(World):
    """Its judge knows the gold set, and is right about it at the seeds that `knows` says."""

    knows: Callable[[int], bool] = always_right
    declines: Callable[[CallKey], bool] = lambda _: False

    async def _answer(self, request: Request) -> Completion:
        if request.key.purpose not in PROBED:
            return await World._answer(self, request)
        self.sent[request.key] += 1
        await asyncio.sleep(1.0)
        if self.declines(request.key):
            raise FilteredReplyError("declined")
        first, second = (text for text in shown(request) if text[0] in "AB")
        right = "A" if first[1:] in BETTER else "B"
        assert (first[1:] in BETTER) != (second[1:] in BETTER)
        said = right if self.knows(request.key.seed) else "AB".replace(right, "")
        return Completion(f"Verdict: {said}", FinishReason.STOP, Usage(10, 5), "judge", "judge", 1.0)


def shown(request: Request) -> list[str]:
    """The answers in a judge's prompt, each after its letter."""
    parts = request.messages[-1].content.split("<ANSWER ")[1:]
    return [part[0] + part.split(">\n", 1)[1].split("\n</ANSWER", 1)[0] for part in parts]


@dataclass(slots=True, kw_only=True)
class ProbedRun(Run):
    """A run with probes at a rate."""

    rate: float = 1.0
    window: int = 20

    def _stages(self, asker: Asker) -> Stages:
        stages = Run._stages(self, asker)
        stages.evolver.options = replace(stages.evolver.options, drift=DriftOptions(window=self.window))
        return replace(stages, judge=replace(stages.judge, probes=Probes(gold=GOLD, rate=self.rate)))


def finished(run: Run) -> dict[int, Graded]:
    run_virtual(run.start())
    return run.store.log


@pytest.mark.parametrize("lazy", [False, True])
def test_a_probe_is_part_of_no_row(lazy: bool) -> None:
    """One seed at a time, a run with probes learns bit for bit what one without learns; only the probe is added."""
    plain = Run(world=World(), store=MemoryStore(), num_seeds=20, lazy=lazy, max_in_flight=1, batch_size=1)
    probed = ProbedRun(world=ProbedWorld(), store=MemoryStore(), num_seeds=20, lazy=lazy, max_in_flight=1, batch_size=1)
    without, with_probes = finished(plain), finished(probed)
    assert {number: replace(item, probe=None) for number, item in with_probes.items()} == without
    assert all(item.probe is not None and item.probe.is_right for item in with_probes.values())
    assert probed.board.weights == plain.board.weights


def test_probes_have_an_account_of_their_own() -> None:
    """Both orders of each are booked to the judge, for a purpose and in a place that no pair has."""
    run = ProbedRun(world=ProbedWorld(), store=MemoryStore(), num_seeds=60, rate=0.3)
    log = finished(run)
    probes = [item.probe for item in log.values() if item.probe]
    assert 8 < len(probes) < 30
    booked = {account: spend.calls for account, spend in run.store.spend.items() if account.purpose in PROBED}
    assert {(account.agent, account.pair, account.purpose) for account in booked} == {
        ("judge", "gold probe", purpose) for purpose in PROBED
    }
    assert sum(booked.values()) == 2 * len(probes)
    assert {key.seed for key in run.store.replies if key.purpose in PROBED} == {
        number for number, item in log.items() if item.probe
    }
    assert run.store.updates[-1].tally.events["probe.right"] == len(probes)


def test_a_probe_that_was_asked_is_not_asked_again() -> None:
    """After a stop in the middle, what is recorded of the probes is used, and the watch goes on where it was."""
    world, store = ProbedWorld(), MemoryStore()

    async def stopped() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20.0):
                await ProbedRun(world=world, store=store, batch_size=9, linger_s=60.0).start()

    run_virtual(stopped())
    recorded = {key for key in store.replies if key.purpose in PROBED}
    learnt = {number for number, item in store.log.items() if item.probe}
    assert recorded
    assert any(key.seed not in learnt for key in recorded)
    log = finished(ProbedRun(world=world, store=store))
    assert len(log) == 40
    assert {world.sent[key] for key in recorded} == {1}
    assert store.updates[-1].tally.probes.asked == 40


@pytest.mark.fault("F-63")
def test_f63_a_judge_that_drifts_raises_the_alarm_once(caplog: pytest.LogCaptureFixture) -> None:
    """F-63: right until seed 60, wrong from there: one warning, one event, and the state says so."""
    run = ProbedRun(world=ProbedWorld(knows=lambda seed: seed < 60), store=MemoryStore(), num_seeds=120)
    with caplog.at_level(logging.WARNING):
        finished(run)
    tally = run.store.updates[-1].tally
    assert (tally.probes.is_alarmed, tally.probes.alarms, tally.events["probe.alarm"]) == (True, 1, 1)
    assert [record.message.split(":")[0] for record in caplog.records if "judge" in record.message] == [
        "the judge fails its probes"
    ]


def test_the_alarm_ends_when_the_judge_is_well_again(caplog: pytest.LogCaptureFixture) -> None:
    """A bad spell of thirty seeds is an alarm and its end."""
    world = ProbedWorld(knows=lambda seed: not 60 <= seed < 90)
    run = ProbedRun(world=world, store=MemoryStore(), num_seeds=160)
    with caplog.at_level(logging.WARNING):
        finished(run)
    probes = run.store.updates[-1].tally.probes
    assert (probes.is_alarmed, probes.alarms) == (False, 1)
    assert [record.message.split(":")[0] for record in caplog.records if "judge" in record.message] == [
        "the judge fails its probes",
        "the judge passes its probes again",
    ]


def test_a_probe_whose_call_fails_says_nothing_of_the_judge() -> None:
    """Faults are counted, and raise no alarm."""
    world = ProbedWorld(declines=lambda key: key.purpose is Purpose.PROBE)
    run = ProbedRun(world=world, store=MemoryStore())
    finished(run)
    tally = run.store.updates[-1].tally
    assert tally.events["probe.failed"] == 40
    assert tally.probes.asked == 0
