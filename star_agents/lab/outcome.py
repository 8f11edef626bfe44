"""What a simulated run came to, in the laboratory's own measure: the true quality of its rows.

All qualities are means between 0 and 1; None where there was nothing to take a mean of.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The run after `seeds` learnt seeds: weights by pair, and means over the seeds since the point before."""

    seeds: int
    virtual_s: float
    p: tuple[float, ...]
    selected: float | None
    regret: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One simulated run. Times are in seconds, of the virtual clock where their name says so."""

    run_seed: int
    seeds: int
    virtual_s: float
    wall_s: float
    selected: float | None
    """True quality of the selected rows."""
    drawn: float | None
    """That of the drawn candidates, selected or not: diversity alone."""
    base: float | None
    """That of the base pairs' candidates."""
    regret: float
    """What a draw loses, on average, to the pairs that are truly best for its seed."""
    rows: dict[str, int]
    """Seeds by where their row came from."""
    failures: int
    calls: dict[str, int]
    """By purpose."""
    tokens: int
    usd: float | None
    """None where an endpoint that was asked has no price."""
    pairs: tuple[str, ...]
    truth: tuple[float, ...]
    """By pair, its mean quality over the run's seeds."""
    p: tuple[float, ...]
    points: tuple[Point, ...]

    @property
    def judge_calls(self) -> int:
        """In both orders."""
        return sum(count for purpose, count in self.calls.items() if purpose.startswith("judge"))

    @property
    def p_best(self) -> float:
        """The weight that the truly best pair has in the end, or all of them together where several are best."""
        return self.p_best_at(self.p)

    def p_best_at(self, p: Sequence[float]) -> float:
        """The same of other weights of the run."""
        best = max(self.truth)
        return sum(weight for weight, quality in zip(p, self.truth, strict=True) if quality == best)

    def to_json(self) -> bytes:
        """As one line."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """What `to_json` wrote."""
        told: dict[str, Any] = orjson.loads(line)
        told["points"] = tuple(Point(**{**point, "p": tuple(point["p"])}) for point in told["points"])
        for name in ("pairs", "truth", "p"):
            told[name] = tuple(told[name])
        return cls(**told)
