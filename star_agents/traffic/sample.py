"""A ratio of two sums, and how well it is known: what a controller measures is never the truth, only a sample of it.

Law: nothing is kept but sums, so an answer costs the same however long the measurement lasts.
"""

from math import inf, sqrt

FEWEST = 3
"""Of fewer parts nothing is known of the spread."""


class Ratio:
    """The sum of the parts' `top` over the sum of their `bottom`, the ratio estimator of survey sampling.

    Its standard error is that of the residuals `top - ratio * bottom` (Cochran, Sampling Techniques, eq. 6.9).
    """

    __slots__ = ("_both", "_bottom", "_bottom_squared", "_count", "_top", "_top_squared")

    def __init__(self) -> None:
        self._count = 0
        self._top = self._bottom = 0.0
        self._top_squared = self._both = self._bottom_squared = 0.0

    def add(self, top: float, bottom: float) -> None:
        """One part; `bottom` is above 0."""
        self._count += 1
        self._top += top
        self._bottom += bottom
        self._top_squared += top * top
        self._both += top * bottom
        self._bottom_squared += bottom * bottom

    @property
    def value(self) -> float:
        """The ratio; 0 of nothing."""
        return self._top / self._bottom if self._bottom else 0.0

    @property
    def error(self) -> float:
        """The standard error of the ratio, as a share of it; infinite where too little is known."""
        if self._count < FEWEST or not self._top:
            return inf
        ratio = self.value
        residuals = self._top_squared - 2 * ratio * self._both + ratio * ratio * self._bottom_squared
        return sqrt(max(0.0, residuals) * self._count / (self._count - 1)) / self._top
