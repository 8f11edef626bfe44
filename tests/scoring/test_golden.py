"""The conventions `superfiltering` and `cherry` against the public programs they are named after, on real models.

Every row of the edge cases, and a share of the open rows (all of them where STAR_AGENTS_GOLDEN is `all`).
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from star_agents.core.records import ModelScore, Sample, ScoreStatus
from star_agents.scoring.conventions import cherry, superfiltering
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.rating import rate
from star_agents.scoring.zoo import pull

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "star-agents" / "models"
SHARE = None if os.environ.get("STAR_AGENTS_GOLDEN") == "all" else 30
TOLERANCE = 1e-4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@cache
def model(name: str) -> LanguageModel:
    folder = pull(name, CACHE, print)
    return LanguageModel.load(str(folder), device="cpu", dtype="float32")


def rows_of(file: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / f"{file}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[: SHARE if file.endswith("_open") else None]]


def numbers(row: dict[str, Any], name: str) -> list[float]:
    """The row's values as the reference program gives them, in the order of `found`."""
    ifd = row["ifd_loss_ratio" if name == "cherry" else "ifd"]
    return [float(value) for value in (row["loss_alone"], row["loss_cond"], row["ppl_alone"], row["ppl_cond"], ifd)]


def found(score: ModelScore) -> list[float]:
    values = (score.nll_alone, score.nll_cond, score.ppl_alone, score.ppl_cond, score.ifd)
    return [value for value in values if value is not None]


@pytest.mark.parametrize(
    "file",
    [
        "superfiltering_smollm2_edge",
        "superfiltering_gemma3_edge",
        "cherry_gemma3_edge",
        "superfiltering_smollm2_open",
        "superfiltering_gemma3_open",
        "cherry_smollm2_open",
    ],
)
def test_every_row_is_the_reference_programs(file: str) -> None:
    """Losses, perplexities and score within 1e-4, the same tokens counted, and no score where there is none."""
    name, short, _ = file.split("_")
    scorer = model({"smollm2": "smollm2-135m", "gemma3": "gemma3-270m"}[short])
    convention = {"superfiltering": superfiltering, "cherry": cherry}[name](scorer.tokens, scorer.window)
    rows = rows_of(file)
    scores = rate(scorer, convention, [Sample(row["instruction"], row["output"], row["input"]) for row in rows]).scores
    for row, score in zip(rows, scores, strict=True):
        if row["ifd"] == "nan":
            assert (row["id"], score.status) == (row["id"], expected_status(row))
            assert found(score) == []
        else:
            assert found(score) == pytest.approx(numbers(row, name), rel=TOLERANCE), row["id"]
            assert (score.status is ScoreStatus.TRUNCATED) == row["truncated"], row["id"]
            assert score.n_response_tokens == row["n_scored_cond"], row["id"]


def expected_status(row: dict[str, Any]) -> ScoreStatus:
    """Why the reference program has no number for this row."""
    if not row["output"]:
        return ScoreStatus.EMPTY
    return ScoreStatus.PROMPT_TOO_LONG if row["n_prompt_tokens"] >= row["max_length"] else ScoreStatus.TOO_SHORT
