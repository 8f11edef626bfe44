import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from star_agents.core.records import ModelScore, Sample, ScoreStatus
from star_agents.scoring.conventions import Exact, Pass
from star_agents.scoring.laying import Batch
from star_agents.scoring.messages import Score
from star_agents.scoring.model import LanguageModel, Plan
from star_agents.scoring.rating import DualScorer, rate
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.templates import load_template
from tests.scoring.tiny import save_tiny, tiny_model

MODEL = tiny_model()


def exact(model: LanguageModel, max_tokens: int = 128) -> Exact:
    return Exact(model.tokens, load_template("chat", model.tokens.tokenizer), max_tokens)


def score(sample: Sample, model: LanguageModel = MODEL) -> ModelScore:
    return rate(model, exact(model), [sample]).scores[0]


def only_up_to(model: LanguageModel, monkeypatch: pytest.MonkeyPatch, room: int) -> list[int]:
    """Let memory end at `room` tokens; the sizes of the attempts are noted."""
    forward, sizes = model._forward, list[int]()

    def limited(batch: Batch) -> list[float]:
        sizes.append(batch.num_tokens)
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(batch)

    monkeypatch.setattr(model, "_forward", limited)
    return sizes


def num_passes(plan: Plan) -> int:
    return sum(len(batch.passes) for batch in plan.batches)


def test_a_score_is_consistent() -> None:
    """Perplexities are exponentials of the losses, and IFD is their ratio (Eq. 4)."""
    found = score(Sample("Why is the sky blue?", "Because of the air."))
    assert found.nll_alone is not None
    assert found.nll_cond is not None
    assert found.status is ScoreStatus.OK
    assert found.ppl_alone == pytest.approx(math.exp(found.nll_alone))
    assert found.ppl_cond == pytest.approx(math.exp(found.nll_cond))
    assert found.ifd == pytest.approx(math.exp(found.nll_cond - found.nll_alone))
    assert found.n_response_tokens == len(MODEL.tokens.plain("Because of the air."))


def test_equal_passes_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five samples with one R, two of them the same: one `alone` pass and four `cond` passes."""
    asked: list[Pass] = []
    plan = MODEL.plan

    def noted(passes: Sequence[Pass]) -> Plan:
        asked.extend(passes)
        return plan(passes)

    monkeypatch.setattr(MODEL, "plan", noted)
    samples = [Sample(question, "An answer.") for question in ("a", "b", "c", "d", "a")]
    rated = rate(MODEL, exact(MODEL), samples)
    assert len(asked) == len(set(asked)) == 5
    assert rated.num_tokens == sum(len(each.ids) for each in asked)
    assert rated.scores[0] == rated.scores[4]


@pytest.mark.fault("F-55")
def test_short_memory_halves_the_batch_and_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits nowhere else fits alone."""
    model = tiny_model()
    samples = [Sample(f"Question {number}?", "Answer. " * number) for number in range(1, 5)]
    roomy = rate(model, exact(model), samples).scores
    sizes = only_up_to(model, monkeypatch, room=80)
    assert [each.ifd for each in rate(model, exact(model), samples).scores] == pytest.approx(
        [each.ifd for each in roomy], rel=1e-4
    )
    assert max(sizes) > 80


@pytest.mark.fault("F-55")
def test_what_did_not_fit_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next batches are as large as memory has shown to allow."""
    model = tiny_model()
    samples = [Sample(f"Question {number}?", "Answer. " * number) for number in range(1, 5)]
    sizes = only_up_to(model, monkeypatch, room=80)
    rate(model, exact(model), samples)
    first = len(sizes)
    rate(model, exact(model), samples)
    assert max(sizes[:first]) > 80 >= max(sizes[first:])


@pytest.mark.fault("F-56")
def test_a_sample_that_fits_nowhere_is_an_error_and_its_neighbours_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory at batch size one is recorded, never scored 0."""
    model = tiny_model()
    only_up_to(model, monkeypatch, room=60)
    long, short = rate(model, exact(model), [Sample("a", "b" * 90), Sample("a", "b")]).scores
    assert (long.status, long.reason, long.ifd) == (ScoreStatus.ERROR, "out_of_memory", None)
    assert short.status is ScoreStatus.OK


def test_an_error_that_is_not_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken device must end the process, not halve its batches."""

    def broken(_batch: Batch) -> list[float]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(MODEL, "_forward", broken)
    with pytest.raises(RuntimeError, match="device-side"):
        score(Sample("a", "b"))


@pytest.mark.fault("F-57")
@pytest.mark.parametrize("loss", [math.nan, math.inf, 800.0])
def test_a_number_that_is_not_finite_becomes_a_status(monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    """NaN weights, infinite losses, perplexities beyond a float: an error with its reason, and no number."""
    monkeypatch.setattr(MODEL, "run", lambda plan: [loss] * num_passes(plan))
    found = score(Sample("a", "b"))
    assert (found.status, found.reason) == (ScoreStatus.ERROR, "not_finite")
    assert [found.nll_alone, found.nll_cond, found.ppl_alone, found.ppl_cond, found.ifd] == [None] * 5


def test_perplexities_beyond_float32_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """exp(100) overflows float32 and not us."""
    monkeypatch.setattr(MODEL, "run", lambda plan: [100.0] * num_passes(plan))
    found = score(Sample("a", "b"))
    assert found.ppl_alone == pytest.approx(math.exp(100))
    assert found.ifd == 1.0


@pytest.mark.fault("F-57")
def test_nan_weights_are_recorded() -> None:
    """From the network itself, not from a stand-in."""
    broken = tiny_model()
    with torch.no_grad():
        broken._network.get_output_embeddings().weight.fill_(math.nan)
    assert score(Sample("a", "b"), broken).reason == "not_finite"


def test_a_truncated_sample_keeps_its_score() -> None:
    """The head of R is scored, and the status says that the tail was not."""
    found = rate(MODEL, exact(MODEL, max_tokens=40), [Sample("a", "word " * 50)]).scores[0]
    assert found.status is ScoreStatus.TRUNCATED
    assert found.ifd is not None
    assert found.n_prompt_tokens + found.n_response_tokens == 40


def test_a_request_is_prepared_without_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two steps a scorer may run others; together they are the answer under both models."""
    settings = ScoringSettings(small=save_tiny(tmp_path / "s"), large=save_tiny(tmp_path / "l", seed=1), device="cpu")
    scorer = DualScorer(settings, "cpu")
    monkeypatch.setattr(LanguageModel, "_forward", None)
    first, second = (scorer.prepare(Score((Sample(question, "yes"), Sample(question, "")))) for question in "ab")
    monkeypatch.undo()
    later, earlier = scorer.run(second), scorer.run(first)
    assert earlier.scores == scorer.run(scorer.prepare(Score((Sample("a", "yes"), Sample("a", ""))))).scores
    assert earlier.scores[0] != later.scores[0]
    assert [each.small.status for each in earlier.scores] == [ScoreStatus.OK, ScoreStatus.EMPTY]
    assert all(each.large is not None for each in earlier.scores)
