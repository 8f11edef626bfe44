"""What a way of scoring is, and how it is measured: in a process of its own that holds one model on one device.

It is told its `Task` as JSON, says hello when the model is loaded, and answers each line of its input. Loading and
warming up are over before anything is timed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from bench.harness.samples import read_samples
from bench.scorers.memory import Gauge
from star_agents.core.records import Sample
from star_agents.scoring.settings import DtypeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to load and where; `model` is as in `models.open_network`, `request` how many samples are asked at once."""

    model: str
    device: str
    dtype: DtypeName
    request: int

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found


class Method(Protocol):
    """A way of scoring, with its model loaded."""

    def rate(self, samples: Sequence[Sample]) -> list[float | None]:
        """The IFD of each sample, by the convention of Superfiltering; None where there is none."""
        ...


Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def measured(open_method: Callable[[Task], Method]) -> Callable[[Task], Answer]:
    """Make a method answer `{"file": ...}` by what scoring that file's samples took."""

    def opened(task: Task) -> Answer:
        method, gauge = open_method(task), Gauge(task.device)

        def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
            samples = read_samples(Path(question["file"]))
            gauge.begin()
            began = time.perf_counter()
            found = method.rate(samples)
            return {"wall_s": time.perf_counter() - began, **gauge.told(), "ifd": found}

        return answer

    return opened


def drive(opened: Callable[[Task], Answer]) -> None:
    """The body of a method's `__main__`: load, say hello, and answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not our answer
    answer = opened(Task(**json.loads(sys.argv[1])))
    answers.write(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
