"""Telling a poison request from a broken template."""

import pytest

from star_agents.traffic.refusals import MIN_LOOKED_AT, RefusalWatch


@pytest.mark.fault("F-24")
def test_f24_one_poison_request_is_not_a_broken_template() -> None:
    """F-24: 1 in 1000 refused says nothing; all of the first twenty do, and so do more than a fifth later on."""
    watch = RefusalWatch()
    assert not any(watch.note(is_refused=number == 500) for number in range(1000))
    watch = RefusalWatch()
    told = [watch.note(is_refused=True) for _ in range(MIN_LOOKED_AT)]
    assert told == [False] * (MIN_LOOKED_AT - 1) + [True]
    watch = RefusalWatch()
    told = [watch.note(is_refused=number % 4 == 0) for number in range(100)]
    assert any(told)
