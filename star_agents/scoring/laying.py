"""Passes become the tensors of one forward pass, on the CPU, before the device is free.

The last token of a pass is only ever foreseen, never computed. Whichever way a batch is laid out, `rows` says where
the states are that foresee the scored tokens, so what comes after the network is the same for both.

Shapes: B sequences of T tokens (packed: B = 1), N scored tokens of all passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from star_agents.scoring.conventions import Pass
from star_agents.scoring.forest import Forest, Segment, grow
from star_agents.scoring.products import even


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Passes, and the tensors to compute them with. `forest` and `positions` (1, T) only where it is packed."""

    passes: tuple[Pass, ...]
    ids: Tensor
    """(B, T)"""
    rows: Tensor
    """(N,), counted over all B * T positions."""
    targets: Tensor
    """(N,), the token that follows each of `rows`."""
    counts: tuple[int, ...]
    """Scored tokens of each pass; N in all."""
    forest: Forest | None = None
    positions: Tensor | None = None

    @property
    def longest(self) -> int:
        """Tokens of the longest pass."""
        return max(len(each.ids) for each in self.passes)

    @property
    def num_tokens(self) -> int:
        """Tokens that the network computes, padding included."""
        return self.ids.numel()


def lay_padded(passes: Sequence[Pass]) -> Batch:
    """Every pass a row, padded on the right, where attention does not look."""
    width = max(len(each.ids) for each in passes) - 1
    padded = [(*each.ids[:-1], *[0] * (width + 1 - len(each.ids))) for each in passes]
    return Batch(
        passes=tuple(passes),
        ids=torch.tensor(padded),
        rows=torch.tensor(
            [number * width + at - 1 for number, each in enumerate(passes) for at in range(each.start, len(each.ids))]
        ),
        targets=_targets(passes),
        counts=_counts(passes),
    )


def lay_packed(passes: Sequence[Pass]) -> Batch:
    """All passes in one row, as a forest, with positions that begin again with every sequence.

    Tokens that belong to no pass, a tree of their own, make their number even.
    """
    forest = grow([each.ids[:-1] for each in passes])
    num_tokens = forest.bounds[-1][1]
    if rest := even(num_tokens) - num_tokens:
        forest = replace(forest, segments=(*forest.segments, Segment((0,) * rest, None, 0)))
    ids = [token for segment in forest.segments for token in segment.ids]
    positions = [segment.offset + at for segment in forest.segments for at in range(len(segment.ids))]
    rows = [row for each, way in zip(passes, forest.rows(), strict=True) for row in way[each.start - 1 :]]
    return Batch(
        passes=tuple(passes),
        ids=torch.tensor([ids]),
        rows=torch.tensor(rows),
        targets=_targets(passes),
        counts=_counts(passes),
        forest=forest,
        positions=torch.tensor([positions]),
    )


def _targets(passes: Sequence[Pass]) -> Tensor:
    return torch.tensor([token for each in passes for token in each.ids[each.start :]])


def _counts(passes: Sequence[Pass]) -> tuple[int, ...]:
    return tuple(len(each.ids) - each.start for each in passes)
