"""Where a `score` stands, for whoever watches: one snapshot at any moment, cheap enough for many a second.

The rate is that of the last half minute, of rows that are durable, and of this start alone; the time left follows
from it, and is not known before there is a rate.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from star_agents.core import clock
from star_agents.service.run.picture import RateMeter
from star_agents.storage.score_journal import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStatus:
    """A `score` at a glance. Rows are from the beginning of the data set, `resumed` those of earlier starts.

    `unusable` hold no instruction, `unscored` have no IFD. `eta_s` is None where it is not known. `tokens` and
    `scoring_s` are of this start; `tokens_per_s` is of the last half minute.
    """

    phase: str
    rows: int = 0
    total: int = 0
    resumed: int = 0
    unusable: int = 0
    unscored: int = 0
    tokens: int = 0
    tokens_per_s: float = 0.0
    eta_s: float | None = None
    scoring_s: float = 0.0


Observer = Callable[[Callable[[], ScoreStatus]], Coroutine[Any, Any, None]]
"""Draws or prints until it is cancelled; it is handed the way to take a snapshot."""


class ScoreProgress:
    """Told what happens; asked where things stand."""

    def __init__(self) -> None:
        self._phase = ""
        self._total = 0
        self._resumed = 0
        self._standing = Standing()
        self._pace: _Pace | None = None

    def enter(self, phase: str) -> None:
        """What is done from now on, in words."""
        self._phase = phase

    def resume(self, standing: Standing, total: int) -> None:
        """So much of so much is there from earlier starts."""
        self._resumed, self._standing, self._total = standing.rows, standing, total

    def begin(self, count_tokens: Callable[[], int]) -> None:
        """Scoring begins; `count_tokens` tells how many tokens the models have read since."""
        self._phase = "scoring"
        self._pace = _Pace(count_tokens, self._standing.rows)

    def end(self) -> None:
        """Nothing is left to score."""
        if self._pace is not None:
            self._pace.ended_at = clock.now()

    def tell(self, standing: Standing) -> None:
        """More rows are durable."""
        self._standing = standing

    def status(self) -> ScoreStatus:
        """A snapshot."""
        status = ScoreStatus(
            phase=self._phase,
            rows=self._standing.rows,
            total=self._total,
            resumed=self._resumed,
            unusable=self._standing.unusable,
            unscored=self._standing.unscored,
        )
        return status if self._pace is None else self._pace.added_to(status)


class _Pace:
    """How fast this start scores; what earlier starts did is no part of it."""

    def __init__(self, count_tokens: Callable[[], int], rows: int) -> None:
        self._began_at = clock.now()
        self.ended_at: float | None = None
        self._count_tokens = count_tokens
        self._rows_rate, self._tokens_rate = RateMeter(), RateMeter()
        self._rows_rate.update(self._began_at, rows)
        self._tokens_rate.update(self._began_at, 0)

    def added_to(self, status: ScoreStatus) -> ScoreStatus:
        now, tokens = clock.now(), self._count_tokens()
        rows_per_s = self._rows_rate.update(now, status.rows)
        return replace(
            status,
            tokens=tokens,
            tokens_per_s=self._tokens_rate.update(now, tokens),
            eta_s=(status.total - status.rows) / rows_per_s if rows_per_s else None,
            scoring_s=(self.ended_at or now) - self._began_at,
        )
