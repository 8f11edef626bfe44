"""How the package scores in one precision after the other, by its default convention; loading is not timed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.harness.samples import read_samples
from bench.scorers.contract import Answer, Task, drive
from bench.scorers.ours import open_model
from star_agents.scoring.conventions import Convention, choose_convention
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.products import Precision
from star_agents.scoring.rating import rate
from star_agents.scoring.sample_crew import split
from star_agents.scoring.settings import ScoringSettings

WARM_UP = 4


def opened(task: Task) -> Answer:
    """Answers `{"file": ..., "precision": {"body": "float32", ...}}` by scores, tokens and seconds."""
    settings = ScoringSettings(small=task.model)
    held: dict[str, tuple[LanguageModel, Convention]] = {}

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        key = str(question["precision"])
        if key not in held:
            held.clear()
            model = open_model(task.model, task.device, precision_of(question["precision"]))
            held[key] = model, choose_convention(settings, model.tokens, model.window)
        samples = read_samples(Path(question["file"]))
        rate(*held[key], samples[:WARM_UP])
        began = time.perf_counter()
        rated = [rate(*held[key], part) for part in split(samples, task.request)]
        scores = [score for each in rated for score in each.scores]
        return {
            "wall_s": time.perf_counter() - began,
            "tokens": sum(each.num_tokens for each in rated),
            "ifd": [score.ifd for score in scores],
            "lengths": [score.n_response_tokens for score in scores],
        }

    return answer


def precision_of(names: Mapping[str, str]) -> Precision:
    """From names of dtypes."""
    return Precision(**{part: getattr(torch, name) for part, name in names.items()})


if __name__ == "__main__":
    drive(opened)
