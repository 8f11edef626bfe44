"""Faults of models and devices (section E of docs/faults.md), planted in workers with small random models."""

import logging
import math
from pathlib import Path

import orjson
import pytest
import torch
from transformers import AutoModelForCausalLM

from star_agents.core.records import Sample, Scores, ScoreStatus
from star_agents.scoring.fingerprint import digest_of, note_scorer
from star_agents.scoring.messages import Score
from star_agents.scoring.pool import PoolStatus, ScorerPool
from star_agents.scoring.rating import DualScorer
from star_agents.scoring.settings import ScoringSettings
from tests.loops import run_real
from tests.scoring.stubs import PLANTED
from tests.scoring.tiny import save_tiny, tiny_tokenizer

SAMPLES = [Sample(f"Question {number}?", "An answer. " * number) for number in range(1, 9)]


def scored(
    folder: Path, samples: list[Sample], *, max_tokens: int = 250, **plant: object
) -> tuple[list[Scores], PoolStatus]:
    """The scores of a pool of one worker with a planted fault, and what the pool says of itself."""
    if not (folder / "small").exists():
        save_tiny(folder / "small")
    (folder / "small" / "plant.json").write_bytes(orjson.dumps(plant))
    settings = ScoringSettings(small=str(folder / "small"), device="cpu", max_tokens=max_tokens)

    async def main() -> tuple[list[Scores], PoolStatus]:
        async with ScorerPool(settings, log_dir=folder, folder=folder, command=PLANTED) as pool:
            return await pool.score(samples), pool.snapshot()

    return run_real(main())


def in_process(model: str, samples: list[Sample], size: int = 64) -> list[Scores]:
    """The scores of a model without a fault, in requests of `size` samples."""
    scorer = DualScorer(ScoringSettings(small=model, max_tokens=250), "cpu")
    requests = (Score(tuple(samples[start : start + size])) for start in range(0, len(samples), size))
    return [scores for request in requests for scores in scorer.run(scorer.prepare(request)).scores]


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scores], PoolStatus]:
    """A folder with a model, and what a device with little memory makes of the samples and of one too long for it."""
    folder = tmp_path_factory.mktemp("tight")
    return folder, *scored(folder, [*SAMPLES, Sample("Count.", "one two three " * 40)], room=150)


@pytest.mark.fault("F-55")
def test_short_memory_costs_time_and_no_score(tight: tuple[Path, list[Scores], PoolStatus]) -> None:
    """A device with room for a sample or two gives the scores of one with room for all, and no worker dies."""
    folder, (*found, _), status = tight
    roomy = in_process(str(folder / "small"), SAMPLES)
    assert [each.small.ifd for each in found] == pytest.approx([each.small.ifd for each in roomy], rel=1e-4)
    assert status.restarts == 0
    assert "out of memory" in (folder / "scorer-0.log").read_text()


@pytest.mark.fault("F-56")
def test_a_sample_that_fits_not_even_alone_is_an_error(tight: tuple[Path, list[Scores], PoolStatus]) -> None:
    """It is counted, it is no 0, and its neighbours are scored."""
    _, (*others, lost), status = tight
    assert (lost.small.status, lost.small.reason, lost.small.ifd) == (ScoreStatus.ERROR, "out_of_memory", None)
    assert all(each.small.status is ScoreStatus.OK for each in others)
    assert (status.out_of_memory, status.restarts) == (1, 0)


@pytest.mark.fault("F-57")
def test_weights_that_are_no_numbers_are_counted_and_alarmed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One broken row of the embedding spoils the samples that hold its token, and one line says so."""
    token = tiny_tokenizer().encode("~", add_special_tokens=False)[0]
    network = AutoModelForCausalLM.from_pretrained(save_tiny(tmp_path / "small"))
    with torch.no_grad():
        network.get_input_embeddings().weight[token].fill_(math.nan)
    network.save_pretrained(tmp_path / "small")
    spoiled = [Sample("How much?", "All of it, ~all of it."), Sample("How little?", "~1")]
    with caplog.at_level(logging.ERROR):
        found, status = scored(tmp_path, [SAMPLES[0], spoiled[0], SAMPLES[1], spoiled[1]])
    assert [each.small.reason for each in found] == [None, "not_finite", None, "not_finite"]
    assert [each.small.ifd is None for each in found] == [False, True, False, True]
    assert (status.not_finite, status.samples) == (2, 4)
    assert sum("not finite: 2 of 4" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.fault("F-58")
def test_a_device_assert_ends_the_worker_and_its_batch_is_replayed(tmp_path: Path) -> None:
    """A sticky error leaves the device in no state to go on in: a new process gives every score."""
    flag = tmp_path / "assert"
    calm = in_process(save_tiny(tmp_path / "small"), SAMPLES)
    flag.touch()
    found, status = scored(tmp_path, SAMPLES, assert_once=str(flag))
    assert [each.small.ifd for each in found] == pytest.approx([each.small.ifd for each in calm], rel=1e-4)
    assert (status.restarts, flag.exists()) == (1, False)
    assert "device-side assert triggered (planted)" in (tmp_path / "scorer-0.log").read_text()


@pytest.mark.fault("F-61")
def test_the_size_of_a_batch_moves_a_score_by_rounding_only(tmp_path: Path) -> None:
    """Requests of 1, 8 and 64 samples: float32 scores agree within 1e-4, the tolerance that docs/scoring.md states."""
    model = save_tiny(tmp_path / "small")
    samples = [Sample(f"Why {number}?", "Because " + "of that " * (number % 23)) for number in range(64)]
    alone, some, together = (in_process(model, samples, size) for size in (1, 8, 64))
    expected = [each.small.ifd for each in together]
    assert None not in expected
    for found in (alone, some):
        assert [each.small.ifd for each in found] == pytest.approx(expected, rel=1e-4)
        assert [each.small.n_response_tokens for each in found] == [each.small.n_response_tokens for each in together]


@pytest.mark.fault("F-61")
def test_what_scores_depend_on_is_recorded_with_the_run(tmp_path: Path) -> None:
    """Models, numbers, convention and versions, once; another start with another model says so in one line."""
    _, status = scored(tmp_path, SAMPLES[:1])
    (line,) = (tmp_path / "scorer.jsonl").read_bytes().splitlines()
    noted = orjson.loads(line)
    assert {name: noted[name] for name in status.fingerprint} == status.fingerprint
    assert (noted["dtype"], noted["device"], noted["ifd"]) == ("float32", "cpu", "exact")
    assert noted["torch"] == torch.__version__
    assert note_scorer(tmp_path / "scorer.jsonl", status.fingerprint) == []
    changed = {**status.fingerprint, "small": digest_of(Path(save_tiny(tmp_path / "other", seed=1)))}
    (told,) = note_scorer(tmp_path / "scorer.jsonl", changed)
    assert told.startswith(f"small: was {noted['small']}, is ")
    assert len((tmp_path / "scorer.jsonl").read_bytes().splitlines()) == 2
