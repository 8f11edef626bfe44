"""Every item lands in exactly one batch, and no batch costs more than its budget unless one item alone does.

A batch is padded to its longest member, so it costs (longest) x (members). Sorted by length, neighbours pad each
other least; longest first, because what does not fit in memory should be met first. Pure: lengths in, indices out.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group the indices of `lengths` into batches of at most `budget` padded tokens, longest first."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            batches.append([])
            room = max(1, budget // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches


def unpack(batches: Sequence[Sequence[int]], results: Sequence[Sequence[T]]) -> list[T]:
    """Undo `pack`: one result an item, in the order the items were given in."""
    found = {
        index: result
        for batch, batch_results in zip(batches, results, strict=True)
        for index, result in zip(batch, batch_results, strict=True)
    }
    return [found[index] for index in range(len(found))]
