"""What a run may spend: ceilings, what is spent, and what is set aside for calls that are out.

Law: what is spent and set aside together never passes a ceiling by more than the part of answers that went
beyond their declared worst case, and what was set aside is returned exactly once. A pure state machine.

Money is counted in whole picodollars, 10^-12 of a dollar, so that sums are exact and what was set aside is
returned to the last digit: a price of a millionth of a dollar per million tokens is still one of them a token.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

PICODOLLARS = 10**12
"""In one dollar."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens, in and out together, and what they cost. An endpoint without a price adds no dollars."""

    tokens: int = 0
    picodollars: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(self.tokens + other.tokens, self.picodollars + other.picodollars)

    def __sub__(self, other: "Cost") -> "Cost":
        """What is left."""
        return Cost(self.tokens - other.tokens, self.picodollars - other.picodollars)

    def __mul__(self, times: int) -> "Cost":
        """So many of it."""
        return Cost(self.tokens * times, self.picodollars * times)

    @property
    def usd(self) -> float:
        """In dollars, to show."""
        return self.picodollars / PICODOLLARS


NO_COST = Cost()


@dataclass(slots=True)
class Budget:
    """Two ceilings, either of which may be absent. `spent` is over all starts of the run."""

    usd: float | None = None
    tokens: int | None = None
    spent: Cost = NO_COST
    reserved: Cost = field(default=NO_COST, init=False)

    @property
    def is_limited(self) -> bool:
        """True where there is a ceiling."""
        return self.usd is not None or self.tokens is not None

    def reserve(self, worst: Cost) -> bool:
        """Set `worst` aside if it still fits; False, and nothing is set aside, where it does not."""
        if self.is_limited and not all(part <= room for part, room in self._rooms(worst)):
            return False
        self.reserved += worst
        return True

    def settle(self, worst: Cost, actual: Cost) -> None:
        """Return what was set aside, and spend what it took. Once for each `reserve` that was granted.

        Raises:
            ValueError: so much was not set aside.
        """
        left = self.reserved - worst
        if min(left.tokens, left.picodollars) < 0:
            raise ValueError(f"{worst} was not set aside: there is only {self.reserved}")
        self.reserved = left
        self.spent += actual

    def affords(self, expected: Cost, *, besides: int) -> int | None:
        """How many more things of an `expected` cost fit `besides` so many, or None for: any number."""
        counts = [room // part - besides for part, room in self._rooms(expected) if part]
        return max(0, min(counts)) if counts else None

    def _rooms(self, cost: Cost) -> Iterator[tuple[int, int]]:
        """Each part of a cost that has a ceiling, with what is left below it."""
        taken = self.spent + self.reserved
        if self.usd is not None:
            yield cost.picodollars, round(self.usd * PICODOLLARS) - taken.picodollars
        if self.tokens is not None:
            yield cost.tokens, self.tokens - taken.tokens
