"""How one scores in batches at first: sorted by length, padded on the right, logits of every position."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy

from bench.scorers.contract import Task, drive, measured
from bench.scorers.models import open_network, open_tokenizer
from bench.scorers.reference import LIMIT, prompt_of
from star_agents.core.records import Sample

TOKENS = {"cpu": 2048, "cuda": 8192}
"""Of a batch, padding included."""

Sequence_ = tuple[list[int], int]
"""Token ids, and the first of them that is scored."""


class Padded:
    """The method with its model."""

    def __init__(self, task: Task) -> None:
        self._network = open_network(task.model, task.device, task.torch_dtype)
        self._tokenizer = open_tokenizer(task.model)
        self._room = TOKENS[task.device.partition(":")[0]]

    def rate(self, samples: Sequence[Sample]) -> list[float | None]:
        """See `contract.Method`."""
        sequences = [each for sample in samples for each in self._sequences(sample)]
        losses = self._losses(sequences)
        pairs = zip(losses[::2], losses[1::2], strict=True)
        return [None if alone is None or cond is None else math.exp(cond - alone) for alone, cond in pairs]

    def _sequences(self, sample: Sample) -> tuple[Sequence_, Sequence_]:
        prompt = prompt_of(sample)
        start = len(self._tokenizer.encode(prompt, truncation=True, max_length=LIMIT))
        alone = self._tokenizer.encode(sample.response, truncation=True, max_length=LIMIT - start + 1)
        cond = self._tokenizer.encode(prompt + sample.response, truncation=True, max_length=LIMIT)
        return (alone, 1), (cond, start)

    def _losses(self, sequences: Sequence[Sequence_]) -> list[float | None]:
        """Mean loss of each; None where nothing is scored."""
        found: list[float | None] = [None] * len(sequences)
        for batch in self._batches(sequences):
            for number, loss in zip(batch, self._forward([sequences[at] for at in batch]), strict=True):
                found[number] = loss
        return found

    def _batches(self, sequences: Sequence[Sequence_]) -> Iterator[list[int]]:
        """Indices, longest first, as many at a time as there is room for."""
        lengths = {at: len(ids) for at, (ids, start) in enumerate(sequences) if len(ids) > start}
        order = sorted(lengths, key=lambda at: -lengths[at])
        while order:
            size = max(1, self._room // lengths[order[0]])
            yield order[:size]
            order = order[size:]

    @torch.no_grad()
    def _forward(self, batch: Sequence[Sequence_]) -> list[float]:
        width = len(batch[0][0])
        ids = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids, _ in batch], device=self._network.device)
        lengths = torch.tensor([len(ids) for ids, _ in batch], device=ids.device)
        mask = torch.arange(width, device=ids.device)[None] < lengths[:, None]
        logits = self._network(ids, attention_mask=mask.long(), use_cache=False).logits
        losses = [
            cross_entropy(logits[row, start - 1 : len(own) - 1].float(), ids[row, start : len(own)])
            for row, (own, start) in enumerate(batch)
        ]
        found: list[float] = torch.stack(losses).tolist()
        return found


if __name__ == "__main__":
    drive(measured(Padded))
