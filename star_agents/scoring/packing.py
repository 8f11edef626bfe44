"""Every item lands in exactly one batch, and no batch costs more than its budget unless one item alone does.

Two ways to lay sequences out. Padded, a batch costs (longest) x (members): sorted by length, neighbours pad each other
least. Shared, a batch is a forest and costs its distinct tokens: sorted by their tokens, neighbours share most. Pure:
what a batch may cost is told by `budget`, from the length of its longest member. Lengths in, indices out.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from star_agents.scoring.forest import WORTH, Ids, common_prefix

T = TypeVar("T")

Budget = Callable[[int], int]
"""Tokens that a batch may have, given the length of the longest sequence in it."""


def pack_padded(lengths: Sequence[int], budget: Budget) -> list[list[int]]:
    """Group the indices of `lengths` into batches of at most `budget` padded tokens, longest first."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            batches.append([])
            room = max(1, budget(lengths[index]) // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches


def pack_shared(sequences: Sequence[Ids], budget: Budget) -> list[list[int]]:
    """Group the indices of `sequences` into batches of at most `budget` distinct tokens, neighbours alike."""
    batches: list[list[int]] = []
    cost = longest = 0
    last: Ids = ()
    for index in sorted(range(len(sequences)), key=sequences.__getitem__):
        ids = sequences[index]
        # A forest shares a beginning only where it is worth a segment, so a little less than what is equal.
        new = len(ids) - max(0, common_prefix(last, ids) - WORTH + 1)
        longest = max(longest, len(ids))
        if not batches or cost + new > budget(longest):
            batches.append([])
            cost, longest, new = 0, len(ids), len(ids)
        batches[-1].append(index)
        cost += new
        last = ids
    return batches


def unpack(batches: Sequence[Sequence[int]], results: Sequence[Sequence[T]]) -> list[T]:
    """Undo a packing: one result an item, in the order the items were given in."""
    found = {
        index: result
        for batch, batch_results in zip(batches, results, strict=True)
        for index, result in zip(batch, batch_results, strict=True)
    }
    return [found[index] for index in range(len(found))]
