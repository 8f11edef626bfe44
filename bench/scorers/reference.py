"""How the public code scores (Superfiltering f0764afa, `code_ifd/data_analysis.py`), written anew in plain torch.

A sample at a time, two passes for each, float32 logits of every position; no batch, no choice of rows.
"""

from collections.abc import Sequence

import torch

from bench.scorers.contract import Task, drive, measured
from bench.scorers.models import open_network, open_tokenizer
from star_agents.core.records import Sample

LIMIT = 1024
"""Tokens of a sample."""


class Reference:
    """The method with its model."""

    def __init__(self, task: Task) -> None:
        self._network = open_network(task.model, task.device, task.torch_dtype)
        self._tokenizer = open_tokenizer(task.model)

    def rate(self, samples: Sequence[Sample]) -> list[float | None]:
        """See `contract.Method`."""
        return [self._rate(sample) for sample in samples]

    def _rate(self, sample: Sample) -> float | None:
        prompt = prompt_of(sample)
        num_prompt = len(self._tokenizer.encode(prompt, truncation=True, max_length=LIMIT))
        alone = self._perplexity(sample.response, 0, LIMIT - num_prompt + 1)
        cond = self._perplexity(prompt + sample.response, num_prompt, LIMIT)
        return cond / alone if alone and cond else None

    @torch.no_grad()
    def _perplexity(self, text: str, start: int, limit: int) -> float | None:
        """Of the tokens of `text` from number `start` on; None where there is none to foresee."""
        ids = self._tokenizer.encode(text, return_tensors="pt", truncation=True, max_length=limit)
        if ids.shape[1] <= max(start, 1):
            return None
        ids = ids.to(self._network.device)
        labels = ids.clone()
        labels[0, :start] = -100
        return float(torch.exp(self._network(ids, labels=labels).loss))


def prompt_of(sample: Sample) -> str:
    """The prompt of Superfiltering: the instruction on a line, the context on the next."""
    return f"{sample.instruction}\n{sample.context}\n" if sample.context else f"{sample.instruction}\n"


if __name__ == "__main__":
    drive(measured(Reference))
