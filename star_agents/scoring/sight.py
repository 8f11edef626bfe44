"""Which rows of a pack a token sees: itself, what came before it in its sequence, and no more than its window.

Keys are counted from the right: the last query of a look sees the last key, the one before it all but the last, and
so on. So what is masked depends on the sizes alone, and looks of equal size share a mask. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from star_agents.scoring.forest import Forest

Rows = tuple[int, int]
"""The first row, and the row after the last."""


@dataclass(frozen=True, slots=True)
class Look:
    """Rows that look together, as queries, and the rows that at least one of them sees, in the sequence's order."""

    queries: Rows
    keys: tuple[Rows, ...]

    @property
    def num_queries(self) -> int:
        """Rows that look."""
        return self.queries[1] - self.queries[0]

    @property
    def num_keys(self) -> int:
        """Rows that are seen."""
        return sum(last - first for first, last in self.keys)


def looks(forest: Forest, window: int | None = None, block: int | None = None) -> list[Look]:
    """All looks of a pack; every row is a query in exactly one.

    Args:
        forest: whose segments, laid end to end, are the rows.
        window: tokens that a token sees, itself included; None for all.
        block: queries of a look at most, where it has more keys than queries or a window that matters.
    """
    bounds = forest.bounds
    found: list[Look] = []
    for index, segment in enumerate(forest.segments):
        own = bounds[index]
        before = tuple(bounds[step] for step in forest.chain(index)[:-1])
        narrow = window is not None and own[1] - own[0] > window
        size = block if block and (before or narrow) else own[1] - own[0]
        for first in range(*own, size):
            last = min(first + size, own[1])
            position = segment.offset + first - own[0]
            unseen = 0 if window is None else max(0, position - window + 1)
            found.append(Look((first, last), tuple(_without(unseen, (*before, (own[0], last))))))
    return found


def _without(unseen: int, keys: tuple[Rows, ...]) -> Iterator[Rows]:
    """The ranges less their first `unseen` rows."""
    for first, last in keys:
        left = min(unseen, last - first)
        unseen -= left
        if first + left < last:
            yield first + left, last
