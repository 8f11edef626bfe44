"""Nearest neighbours by angle among a million vectors: an inverted file whose cells split as they fill.

Law: what is found is a function of the vectors added and removed, in order, on any machine: vectors are bytes, their
products are integers, and no BLAS decides which cell a vector belongs to. Up to `SCANNED` vectors nothing is
missed. No call takes longer than a split: there is no training, no rebuilding and no sweeping up.

A vector goes to the cell whose centre is nearest. A cell that is full splits in two, as SPFresh does it (Xu et al.,
SOSP 2023), and one that is nearly empty gives what it has to its neighbours. A query looks at the cells nearest to it,
until it has seen `SCANNED` vectors.
"""

import math

import numkong
import numpy as np
import numpy.typing as npt

SCANNED = 8192
"""Vectors that a query looks at: about 20 nanoseconds each."""

CELL_ROWS = 512
"""A cell of so many splits. Fewer mean more centres to compare, more a longer split: this one takes 0.5 ms."""

SPARSE = 16
"""A cell of fewer is given up, so that their number is bounded when what is remembered drifts."""

LEAST_SHARE = 4
"""A split leaves one part in so many on each side, or more: a cell that shed one vector would be full at once."""

ROUNDS = 2
"""Of Lloyd's algorithm, for a split; more change little."""

LARGEST = 127

Codes = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def codes_of(vector: npt.NDArray[np.float64]) -> Codes:
    """The direction of a vector in a byte a number: the largest becomes 127.

    Of 384 numbers, this moves a similarity by about 0.0005.
    """
    codes: Codes = np.rint(vector * (LARGEST / np.abs(vector).max())).astype(np.int8)
    return codes


class _Cell:
    """Rows of codes with their lengths and keys; the first `size` are in use."""

    __slots__ = ("codes", "keys", "lengths", "size")

    def __init__(self, ndim: int) -> None:
        self.codes: Codes = np.empty((CELL_ROWS, ndim), dtype=np.int8)
        self.lengths: Reals = np.empty(CELL_ROWS)
        self.keys: Numbers = np.empty(CELL_ROWS, dtype=np.int64)
        self.size = 0

    def append(self, key: int, codes: Codes) -> None:
        self.codes[self.size], self.lengths[self.size], self.keys[self.size] = codes, _length(codes), key
        self.size += 1

    def remove(self, key: int) -> None:
        """The last row takes the place."""
        self.size -= 1
        row = int(np.flatnonzero(self.keys[: self.size + 1] == key)[0])
        for column in (self.codes, self.lengths, self.keys):
            column[row] = column[self.size]

    def take(self, other: "_Cell", rows: Numbers) -> None:
        """Become these rows of another cell, which may be this one."""
        self.size = len(rows)
        self.codes[: self.size] = other.codes[rows]
        self.lengths[: self.size] = other.lengths[rows]
        self.keys[: self.size] = other.keys[rows]

    def similarities(self, codes: Codes) -> Reals:
        """Cosines to every row, times the length of `codes`."""
        return _products(codes, self.codes[: self.size]) / self.lengths[: self.size]


class InvertedFile:
    """Codes by key, a number below `capacity`."""

    def __init__(self, ndim: int, capacity: int) -> None:
        self.ndim = ndim
        self._cells = [_Cell(ndim)]
        self._centres: Codes = np.ones((1, ndim), dtype=np.int8)
        self._centre_lengths: Reals = np.ones(1)
        self._homes = np.zeros(capacity, dtype=np.int32)  # by key; memory is taken as it is used
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, key: int, codes: Codes) -> None:
        """Take in a vector under a key that is not in use."""
        home = int(np.argmax(self._to_centres(codes)))
        cell = self._cells[home]
        cell.append(key, codes)
        self._homes[key] = home
        self._size += 1
        if cell.size == CELL_ROWS:
            self._split(home)

    def remove(self, key: int) -> None:
        """Forget the vector of a key that is in use."""
        home = int(self._homes[key])
        self._cells[home].remove(key)
        self._size -= 1
        if self._cells[home].size < SPARSE and len(self._cells) > 1:
            self._give_up(home)

    def nearest(self, codes: Codes, count: int) -> tuple[Reals, Numbers]:
        """Similarities and keys of the nearest `count`, and of whatever is as near as the last of them; in no order."""
        parts, seen = [], 0
        for home in self._probed(codes):
            cell = self._cells[home]
            parts.append((cell.similarities(codes), cell.keys[: cell.size]))
            seen += cell.size
            if seen >= SCANNED:
                break
        similarities = np.concatenate([part[0] for part in parts])
        keys = np.concatenate([part[1] for part in parts])
        near = _largest(similarities, count)
        return similarities[near] / _length(codes), keys[near]

    def _probed(self, codes: Codes) -> list[int]:
        """Cells to look at, nearest first; all where all fit into a query."""
        if self._size <= SCANNED:
            return list(range(len(self._cells)))
        similarities = self._to_centres(codes)
        near = _largest(similarities, SCANNED // (CELL_ROWS // LEAST_SHARE))
        found: list[int] = near[np.argsort(-similarities[near], kind="stable")].tolist()
        return found

    def _to_centres(self, codes: Codes) -> Reals:
        used = len(self._cells)
        return _products(codes, self._centres[:used]) / self._centre_lengths[:used]

    def _split(self, home: int) -> None:
        cell, other = self._cells[home], _Cell(self.ndim)
        order, cut = _halves(cell)
        other.take(cell, order[cut:])
        cell.take(cell, order[:cut])
        self._cells.append(other)
        self._place(home)
        self._place(len(self._cells) - 1)

    def _place(self, home: int) -> None:
        """Set the centre of a cell and tell its vectors where they are."""
        if home == len(self._centres):
            self._centres = np.concatenate([self._centres, np.ones_like(self._centres)])
            self._centre_lengths = np.concatenate([self._centre_lengths, np.ones_like(self._centre_lengths)])
        cell = self._cells[home]
        self._centres[home] = centre = _centre(cell.codes[: cell.size].astype(np.float32).sum(axis=0))
        self._centre_lengths[home] = _length(centre)
        self._homes[cell.keys[: cell.size]] = home

    def _give_up(self, home: int) -> None:
        """Close a cell, and let its vectors go where they are nearest; the last cell takes its number."""
        given_up, last = self._cells[home], self._cells.pop()
        if last is not given_up:
            self._cells[home] = last
            self._centres[home] = self._centres[len(self._cells)]
            self._centre_lengths[home] = self._centre_lengths[len(self._cells)]
            self._homes[last.keys[: last.size]] = home
        self._size -= given_up.size
        for row in range(given_up.size):
            self.add(int(given_up.keys[row]), given_up.codes[row])


def _halves(cell: _Cell) -> tuple[Numbers, int]:
    """The rows of a full cell from one end to the other, and where to cut: 2-means from two rows far apart.

    Sums of bytes are exact in float32, whatever the order, as a cell has fewer than 2^24 / 127 rows.
    """
    codes = cell.codes[: cell.size]
    exact = codes.astype(np.float32)
    first = codes[np.argmin(cell.similarities(_centre(exact.sum(axis=0))))]
    second = codes[np.argmin(cell.similarities(first))]
    towards = _leaning(cell, first, second)
    for _ in range(ROUNDS):
        to_first = (towards > 0).astype(np.float32)
        first, second = _centre(to_first @ exact), _centre((1 - to_first) @ exact)
        towards = _leaning(cell, first, second)
    least = cell.size // LEAST_SHARE
    cut = min(max(int((towards > 0).sum()), least), cell.size - least)
    return np.argsort(-towards, kind="stable"), cut


def _leaning(cell: _Cell, first: Codes, second: Codes) -> Reals:
    """How much nearer each row is to the first."""
    return cell.similarities(first) / _length(first) - cell.similarities(second) / _length(second)


def _centre(total: npt.NDArray[np.float32]) -> Codes:
    """The direction of a sum of codes; of one that cancels out, any."""
    return codes_of(total.astype(np.float64)) if total.any() else np.ones(total.shape, dtype=np.int8)


def _largest(values: Reals, count: int) -> npt.NDArray[np.intp]:
    """Places of the `count` largest and of their equals, in order of place."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, len(values) - count)[len(values) - count])


def _products(codes: Codes, rows: Codes) -> Reals:
    """Whole numbers, added up as such: an int32 holds the sum of 133,000 products of two bytes."""
    products: Reals = np.asarray(numkong.cdist(codes[None], rows, "dot"))[0]
    return products


def _length(codes: Codes) -> float:
    wide = codes.astype(np.int64)
    return math.sqrt(int(wide @ wide))
