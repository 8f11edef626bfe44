"""The probability that each of many Beta variables is the largest.

Law: no chance and no order of threads: the same posteriors give the same numbers, which are not negative, sum
to 1, and are equal for equal posteriors. They are within a hundredth of the integral.

P(a is best) is the integral of f_a(x) times the product of F_b(x) over all others b. Each density becomes masses
on one grid, of which half counts as below its own place: so two variables on one place share it. The grid is
even where the best can lie, ever coarser below, and dense around the means of the foremost.
"""

import math

import numpy as np
import numpy.typing as npt

BELOW, EVEN, AROUND = 12, 48, 5
"""Cells below where the best can lie, in even steps there, and around the mean of each of the foremost."""

FOREMOST = 3
REACH = 6.0
"""Standard deviations beyond which a posterior holds nothing that matters."""
NEAR = 2.0

_NOTHING = -60.0
"""Log density, against the largest, that stands for all below it: subnormal numbers would be slow."""

_NEGLIGIBLE = 1e-40
"""A place that all lie below with less than this chance is not where the best is."""

Vector = npt.NDArray[np.float64]


def chance_of_best(alpha: Vector, beta: Vector) -> Vector:
    """By variable, the probability that Beta(alpha, beta) is the largest; all parameters are at least 1."""
    places, widths = _grid(alpha, beta)
    mass, below = np.empty((2, places.size, alpha.size))  # place x variable; all that needs so much memory
    np.multiply.outer(np.log(places), alpha - 1, out=mass)
    mass += np.multiply.outer(np.log1p(-places), beta - 1, out=below)
    mass -= mass.max(axis=0)
    np.exp(np.maximum(mass, _NOTHING, out=mass), out=mass)
    mass *= widths[:, None]
    mass /= np.add.reduce(mass, axis=0)
    _add_up(mass, below)
    all_below = np.multiply.reduce(below, axis=1)
    matters = all_below > _NEGLIGIBLE
    chance: Vector = np.add.reduce(mass[matters] / below[matters] * all_below[matters, None], axis=0)
    return chance / math.fsum(chance.tolist())


def _add_up(mass: Vector, below: Vector) -> None:
    """Running sums with half of the place itself. Row by row, which is many times faster than `cumsum`."""
    so_far = np.zeros(mass.shape[1])
    for place, row in enumerate(mass):
        np.multiply(row, 0.5, out=below[place])
        below[place] += so_far
        so_far += row


def _grid(alpha: Vector, beta: Vector) -> tuple[Vector, Vector]:
    """The middles and the widths of cells, which cover everything from 0 to where nothing is left."""
    mean = alpha / (alpha + beta)
    spread = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
    low = max(0.0, float((mean - REACH * spread).max()))
    high = min(1.0, float((mean + REACH * spread).max()))
    even = np.linspace(low, high, EVEN + 1)
    coarse = low * (1 - np.linspace(0, 1, BELOW + 1) ** 2)
    foremost = np.argsort(-mean, kind="stable")[:FOREMOST]
    near = (mean[foremost, None] + spread[foremost, None] * np.linspace(-NEAR, NEAR, AROUND)).ravel()
    edges = np.unique(np.concatenate([coarse, even, near[(near > low) & (near < high)]]))
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)
