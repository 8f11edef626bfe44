"""Deciding a batch: what `normalize` divides by, and what is charged for a candidate."""

import pytest

from star_agents.pipeline.evolve import FADE
from star_agents.policy.selection import GradeOptions, gaps
from tests.fakes.store import MemoryStore
from tests.flow.world import USED, Run, World
from tests.loops import run_virtual


def finished(run: Run) -> Run:
    run_virtual(run.start())
    return run


def test_running_divides_by_the_largest_gap_so_far() -> None:
    """Each batch by the largest of its own and of those before it, of which every seed leaves a little less."""
    run = finished(Run(world=World(), store=MemoryStore(), normalize="running"))
    largest = 0.0
    for update in run.store.updates:
        found = [gaps(item.settled, item.scores, GradeOptions()) for item in update.graded]
        largest = max(FADE ** len(update.graded) * largest, *(gap for one in found for gap in one.values()))
        assert update.tally.largest_gap == largest
        for item in update.graded:
            for grade in item.grades:
                assert grade.gap is not None
                assert grade.pi_dual == max(grade.gap, 0.0) / largest


def test_what_was_the_largest_is_known_to_the_next_start() -> None:
    """It is in the tally, which is durable with every batch."""
    store = MemoryStore()
    first = finished(Run(world=World(), store=store, normalize="running", limit=20))
    second = Run(world=World(), store=store, normalize="running")
    finished(second)
    assert second.recovered.standing.tally.largest_gap == first.evolver.tally.largest_gap > 0


def test_a_candidate_tells_what_its_calls_were_charged() -> None:
    """The answer's and the rewrite's; a shared rewrite in full, as each pair would have needed it."""
    run = finished(Run(world=World(), store=MemoryStore()))
    for item in run.store.log.values():
        for candidate in item.settled.candidates():
            pair = item.settled.plan.slots[candidate.slot].pair
            expected = ["deepen", pair.response] if pair.instruction == "deepen" else [pair.response]
            assert [charge.endpoint for charge in candidate.charges] == expected
            assert {charge.usage for charge in candidate.charges} == {USED}


@pytest.mark.parametrize("normalize", ["candidates", "batch"])
def test_other_ways_to_normalize_remember_nothing_of_use(normalize: str) -> None:
    """`candidates` keeps no gap at all; `batch` that of the last batch."""
    run = Run(world=World(), store=MemoryStore(), normalize="batch" if normalize == "batch" else "candidates")
    largest = finished(run).store.updates[-1].tally.largest_gap
    assert (largest > 0) is (normalize == "batch")
