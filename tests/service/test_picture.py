from star_agents.service.run.picture import RATE_WINDOW_S, RateMeter


def test_the_rate_is_that_of_the_window() -> None:
    """Two events a second for a minute, then four: the old pace is forgotten."""
    meter = RateMeter()
    slow = [meter.update(float(second), 2 * second) for second in range(61)]
    assert slow[-1] == 2.0
    quick = [meter.update(float(second), 120 + 4 * (second - 60)) for second in range(61, 120)]
    assert quick[-1] == 4.0


def test_a_pause_lowers_the_rate_slowly() -> None:
    """Where events come more rarely than the window is long there is still a rate, and an ETA."""
    meter = RateMeter()
    assert meter.update(0.0, 0) == 0.0
    assert meter.update(10.0, 8) == 0.8
    assert meter.update(10.0 + 3 * RATE_WINDOW_S, 8) == 0.08
    assert meter.update(110.0, 16) == 0.08
