"""The circuit of a server that crashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.servers.restarts import RestartOptions, Restarts

OPTIONS = RestartOptions(max_crashes=4, good_s=100.0, backoff_s=(1.0, 3.0))


@pytest.mark.fault("F-47")
def test_ceilings_double_up_to_the_greatest() -> None:
    """1, 2, 3 and then never."""
    restarts = Restarts(OPTIONS)
    assert [restarts.crashed(float(at), 1.0) for at in range(4)] == [1.0, 2.0, 3.0, None]


@pytest.mark.fault("F-47")
@given(served=st.lists(st.floats(0.0, 300.0), max_size=30), load_s=st.floats(0.0, 1e4), jitter=st.floats(0.0, 0.99))
def test_only_crashes_in_a_row_count(served: list[float], load_s: float, jitter: float) -> None:
    """It is given up at the fourth crash none of which followed a good while, however long loading takes."""
    restarts, now, in_a_row = Restarts(OPTIONS), 0.0, 0
    for seconds in served:
        began_at = now = now + load_s
        restarts.came_up(now)
        now += seconds
        in_a_row = 1 if now - began_at >= OPTIONS.good_s else in_a_row + 1
        pause = restarts.crashed(now, jitter)
        assert (pause is None) == (in_a_row == OPTIONS.max_crashes)
        if pause is None:
            return
        assert 0.0 <= pause <= OPTIONS.backoff_s[1] * jitter
