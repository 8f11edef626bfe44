"""A sample under two models: each cuts, tokenizes and templates it by its own rules, and the store is told."""

import os
from pathlib import Path

import pytest

from star_agents.core.records import Graded, RowSource, Sample, Scores, ScoreStatus, Selection
from star_agents.scoring.messages import Score
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.rating import DualScorer
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.zoo import pull
from star_agents.storage.codec import Packer, checksum, read_graded
from star_agents.storage.score_rows import RowShape
from tests.loops import run_real
from tests.policy import sets
from tests.scoring.tiny import save_tiny

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "star-agents" / "models"


def test_a_cut_answer_says_so_in_the_stored_row_and_in_the_score_output(tmp_path: Path) -> None:
    """The tail of R goes, its head is scored under both models, and `truncated` is the status wherever it is read."""
    models = [save_tiny(tmp_path / name, seed) for seed, name in enumerate(("small", "large"))]
    scorer = DualScorer(ScoringSettings(small=models[0], large=models[1], max_tokens=40), "cpu")
    request = Score((Sample("a", "word " * 50), Sample("a", "word")))
    cut, whole = scorer.run(scorer.prepare(request)).scores
    assert cut.large is not None
    for score in (cut.small, cut.large):
        assert score.status is ScoreStatus.TRUNCATED
        assert score.ifd is not None
        assert score.n_prompt_tokens + score.n_response_tokens == 40
    assert whole.small.status is ScoreStatus.OK
    assert stored(cut) == cut
    assert b'"status":"truncated"' in RowShape(has_large=True).line(sets.SEED, cut)


def stored(scores: Scores) -> Scores:
    """Scores as they come back from a finished seed's row."""
    settled = sets.settled([sets.answer(0)])
    body = Packer().graded(Graded(settled, {0: scores}, {}, (), Selection(RowSource.BASE, 0)))
    return read_graded("row", checksum(body), body, settled.plan).scores[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("large_device", [None, "cpu"])
def test_two_real_models_with_tokenizers_of_their_own(tmp_path: Path, large_device: str | None) -> None:
    """SmolLM2 with its chat template beside Gemma 3, which has none and begins with BOS: together or apart."""
    small, large = (str(pull(name, CACHE, print)) for name in ("smollm2-135m", "gemma3-270m"))
    settings = ScoringSettings(small=small, large=large, device="cpu", large_device=large_device, max_tokens=64)
    samples = [
        Sample("Name three fruits.", "Apple, fig and pear."),
        Sample("Add.", "It is 1234567.", "1234000 + 567"),
        Sample("Say it again and again.", "again " * 100),
    ]

    async def main() -> list[Scores]:
        async with ScorerPool(settings, log_dir=tmp_path, environ=dict(os.environ)) as pool:
            assert pool.fingerprint["small"] != pool.fingerprint["large"]
            return await pool.score(samples)

    found = run_real(main())
    for each in found:
        assert each.large is not None
        assert each.small.ifd is not None
        assert each.large.ifd is not None
        assert each.small.ifd != each.large.ifd
    digits = found[1]
    assert digits.large is not None
    assert digits.small.n_prompt_tokens > digits.large.n_prompt_tokens  # a chat template's words
    assert [each.small.status for each in found] == [ScoreStatus.OK, ScoreStatus.OK, ScoreStatus.TRUNCATED]
