"""Sequences that begin alike share their beginning: every token that is computed is computed once.

A forest of segments. A segment goes on where its parent ends; a sequence is the way from a root down to one segment.
Attention sees a segment's own tokens causally and all of its ancestors, nothing else, so a token's state is what it
would be if its sequence stood alone. (Tree attention: SpecInfer, arXiv 2305.09781; Hydragen, arXiv 2402.05099.)

Pure: token ids in, index lists out. T is the number of rows, which are the tokens of all segments laid end to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

Ids = tuple[int, ...]

WORTH = 4
"""A common beginning shorter than this is computed twice: another segment costs as much as the tokens saved."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens that go on after those of `parent`, the first of them at position `offset` of its sequence."""

    ids: Ids
    parent: int | None
    offset: int


@dataclass(frozen=True, slots=True)
class Forest:
    """Segments, parents before children, and for each sequence the segment that it ends with."""

    segments: tuple[Segment, ...]
    ends: tuple[int, ...]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First row of each segment, and the row after its last."""
        return list(pairwise([0, *accumulate(len(each.ids) for each in self.segments)]))

    def chain(self, index: int) -> list[int]:
        """A segment and its ancestors, the root first."""
        found: list[int] = []
        at: int | None = index
        while at is not None:
            found.append(at)
            at = self.segments[at].parent
        return found[::-1]

    def rows(self) -> list[list[int]]:
        """For each sequence the rows of its tokens, in their order."""
        bounds = self.bounds
        return [[row for step in self.chain(end) for row in range(*bounds[step])] for end in self.ends]


@dataclass(frozen=True, slots=True)
class _Group:
    """Sequences `first` to `last` (excluded) in sorted order, equal in their first `depth` ids, which `parent` ends."""

    first: int
    last: int
    depth: int
    parent: int | None


def grow(sequences: Sequence[Ids], worth: int = WORTH) -> Forest:
    """The forest of sequences, none of them empty, that shares every beginning of at least `worth` tokens."""
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    inner = [common_prefix(sequences[one], sequences[two]) for one, two in pairwise(order)]
    segments: list[Segment] = []
    ends = [0] * len(sequences)
    groups = [_Group(0, len(order), 0, None)] if order else []
    while groups:
        group = groups.pop()
        for first, last in _runs(inner, group, worth):
            ids = sequences[order[first]]
            depth = len(ids) if last - first == 1 else min(inner[first : last - 1])
            parent = group.parent
            if depth > group.depth:
                segments.append(Segment(ids[group.depth : depth], parent, group.depth))
                parent = len(segments) - 1
            if last - first == 1:
                assert parent is not None  # noqa: S101  # no sequence is empty
                ends[order[first]] = parent
            else:
                groups.append(_Group(first, last, depth, parent))
    return Forest(tuple(segments), tuple(ends))


def _runs(inner: Sequence[int], group: _Group, worth: int) -> list[tuple[int, int]]:
    """Cut a group where neighbours have less than `worth` further tokens in common; `inner[i]` is what i and i+1 have.

    A group cannot come back as its own only run: its members share no more than `depth`.
    """
    cuts = [at + 1 for at in range(group.first, group.last - 1) if inner[at] < group.depth + worth]
    return list(pairwise([group.first, *cuts, group.last]))


def common_prefix(one: Ids, two: Ids) -> int:
    """How many tokens two sequences begin with in common."""
    shorter = min(len(one), len(two))
    if one[:shorter] == two[:shorter]:
        return shorter
    return next(at for at in range(shorter) if one[at] != two[at])
