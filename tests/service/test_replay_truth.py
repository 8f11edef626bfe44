"""Replay against the laboratory's truth: the bounded share of `python -m bench.replay` that a test has time for."""

from statistics import fmean

import pytest

from bench.replay import CASES
from bench.studies.offline import Case, Told, seen, table, told
from star_agents.policy.offpolicy import Per

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OWN_RUNS = 12


def asked(case: Case, logs: int) -> list[dict[Per, Told]]:
    """What so many logs tell, beside the truth."""
    own, others = (table(seen(case, number, own=own) for number in range(OWN_RUNS)) for own in (True, False))
    return [told(case, own, others, number) for number in range(logs)]


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.name)
def test_intervals_hold_the_laboratory_s_truth(case: Case) -> None:
    """In at least nine of ten of forty logs, by every estimator, and nearly every log is answered."""
    answered = [one["seed"] for one in asked(case, 40) if not one["seed"].refusals]
    assert len(answered) >= 36
    for name in ("ips", "snips", "dr", "gain"):
        held = [one.estimates[name].low <= one.truth[name] <= one.estimates[name].high for one in answered]
        assert fmean(held) >= 0.9, name


@pytest.mark.parametrize(("name", "why"), [("judged lazily", "lazy judging"), ("settled", "")])
def test_logs_that_would_mislead_are_refused(name: str, why: str) -> None:
    """Judged lazily, every log would tell far too much; settled, most do not hold what their intervals would need."""
    (case,) = (case for case in CASES if name in case.name)
    logs = asked(case, 10)
    refused = [one for one in logs if any(why in reason for reason in one["draw"].refusals)]
    assert len(refused) >= (10 if why else 5)
