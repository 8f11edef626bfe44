"""What every `Scorer` promises: the fake that other tests use, and worker processes with two tiny models."""

import math
import os
import signal
from asyncio import TaskGroup
from collections.abc import Iterator

import pytest

from star_agents.core.ports import Scorer
from star_agents.core.records import ModelScore, Sample, ScoreStatus
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from tests.fakes.scoring import TableScorer
from tests.scoring.hosting import Hosted, hosted, worker_pids
from tests.scoring.tiny import save_tiny

SAMPLES = [
    Sample("Why is the sky blue?", "Because of the air."),
    Sample("Name three fruits.", "apple, fig, pear"),
    Sample("Add.", "3", "1 2"),
    Sample("Why is the sky blue?", "It is not, at night. " * 5),
    Sample("Name three fruits.", "apple, fig, pear"),
]


class _AsIs:
    """Nothing to open."""

    async def __aenter__(self) -> Scorer:
        return TableScorer()

    async def __aexit__(self, *_: object) -> None:
        return


@pytest.fixture(scope="module", params=["table", "pool"])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted[Scorer]]:
    if request.param == "table":
        with hosted(_AsIs()) as table:
            yield table
        return
    folder = tmp_path_factory.mktemp("scorer")
    small, large = save_tiny(folder / "small", seed=1), save_tiny(folder / "large", seed=2)
    settings = ScoringSettings(small=small, large=large, device="cpu", batch_tokens=128)
    with hosted(ScorerPool(settings, log_dir=folder)) as pool:
        yield pool


def numbers(score: ModelScore) -> list[float | None]:
    return [score.nll_alone, score.nll_cond, score.ppl_alone, score.ppl_cond, score.ifd]


def test_one_score_a_sample_in_order(scorer: Hosted[Scorer]) -> None:
    """Whatever order they are computed in, and equal samples score equally."""
    scores = scorer.run(scorer.resource.score(SAMPLES))
    again = scorer.run(scorer.resource.score(SAMPLES[::-1]))
    assert len(scores) == len(SAMPLES)
    assert [each.small.ifd for each in again[::-1]] == pytest.approx([each.small.ifd for each in scores], rel=1e-4)
    assert scores[1] == scores[4]
    assert len({each.small.ifd for each in scores}) == 4


def test_a_sample_scores_the_same_in_any_company(scorer: Hosted[Scorer]) -> None:
    """Batch 1 equals batch N, under both models."""
    together = scorer.run(scorer.resource.score(SAMPLES))
    for sample, expected in zip(SAMPLES, together, strict=True):
        (alone,) = scorer.run(scorer.resource.score([sample]))
        assert alone.large is not None
        assert expected.large is not None
        assert alone.small.ifd == pytest.approx(expected.small.ifd, rel=1e-4)
        assert alone.large.ifd == pytest.approx(expected.large.ifd, rel=1e-4)


def test_a_score_is_finite_and_agrees_with_itself(scorer: Hosted[Scorer]) -> None:
    """IFD = exp(nll_cond - nll_alone) (Eq. 4)."""
    for each in scorer.run(scorer.resource.score(SAMPLES)):
        for score in (each.small, each.large):
            assert score is not None
            assert score.status is ScoreStatus.OK
            alone, cond, ppl_alone, ppl_cond, ifd = (float(value or math.nan) for value in numbers(score))
            assert (ppl_alone, ppl_cond) == pytest.approx((math.exp(alone), math.exp(cond)))
            assert ifd == pytest.approx(math.exp(cond - alone))


def test_what_cannot_be_scored_has_a_status_and_no_number(scorer: Hosted[Scorer]) -> None:
    """An empty answer among others is no error, and no 0."""
    empty, other = scorer.run(scorer.resource.score([Sample("Say nothing.", ""), SAMPLES[0]]))
    assert empty.small.status is ScoreStatus.EMPTY
    assert numbers(empty.small) == [None] * 5
    assert other.small.status is ScoreStatus.OK


def test_nothing_asked_is_nothing_answered(scorer: Hosted[Scorer]) -> None:
    """An empty batch is a batch."""
    assert scorer.run(scorer.resource.score([])) == []


def test_calls_at_the_same_time_keep_apart(scorer: Hosted[Scorer]) -> None:
    """Each gets its own samples' scores."""

    async def both() -> None:
        async with TaskGroup() as group:
            first = group.create_task(scorer.resource.score(SAMPLES[:2]))
            second = group.create_task(scorer.resource.score(SAMPLES[2:4]))
        separate = [*first.result(), *second.result()]
        together = await scorer.resource.score(SAMPLES[:4])
        assert [each.small.ifd for each in separate] == pytest.approx([each.small.ifd for each in together], rel=1e-4)

    scorer.run(both())


def test_a_killed_worker_is_not_noticed(scorer: Hosted[Scorer]) -> None:
    """A scorer process that is gone is started again, and the call that needed it gets its scores."""
    before = scorer.run(scorer.resource.score(SAMPLES))
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert scorer.run(scorer.resource.score(SAMPLES)) == before
