"""The collector's settings hold inside the block and nowhere else."""

import gc

from star_agents.service.run.collector import THRESHOLDS, rare_collections


def test_the_collector_is_left_as_it_was_found() -> None:
    """A process that runs one job and goes on has Python's own thresholds again, and nothing stays frozen."""
    before = gc.get_threshold(), gc.get_freeze_count()
    with rare_collections():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > before[1]
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
