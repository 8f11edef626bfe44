"""A limit learnt from rate limits: for APIs, which refuse what is too much.

Laws: the limit doubles with each turnover until the first 429, and from then on it adds; a burst of 429s cuts once,
told by when the refused calls were sent; answers to calls sent before a cut, errors, and answers while the limit was
not used up grow nothing; a `Retry-After` paces the account through `Pacer.pause` and touches no clock here.

TCP's congestion control (RFC 5681: slow start, one cut per flight; CUBIC, RFC 9438: the level that failed is
remembered, approached fast from afar and gently from near, and probed above after a while) with two additions that a
server which counts requests makes possible. A 429 that follows closely on another tells the server's rate: what went
out between the two is what it let through, so the limit goes to that rate times the time a call takes. And a probe
that cost a long pause is repeated the more rarely for it.
"""

import math
from enum import Enum, auto

from star_agents.traffic.control import Cap, Turnover
from star_agents.traffic.limits import TICK_S

START = 4.0
CUT = 0.85
"""What is left after a 429 that came out of a calm: the limit was nearly right."""
PROBE_CUT = 0.93
"""What is left, of the level where all was well a turnover ago, after one that a probe or slow start met."""
GROWN = 1.1
"""Grown so far since the last cut, a 429 says nothing against that cut."""
SEQUEL_CUT = 0.93
DEEPEST_CUT = 0.08
"""The most and the least that is left after one that follows closely on another: in between it is measured."""
FALLEN = 0.5
"""Cut further than this, the capacity has fallen, and may come back as soon."""
FEWEST_SENDS = 2
"""Of fewer sends nothing is counted: after a pause the first may come just before an answer makes room for it."""
COUNTED_ROUNDS = 0.5
"""What the server lets through is counted over no more turnovers than these."""
SAFE = 0.98
"""The limit rests this far below the level that failed."""
VOID = 1.08
"""A level exceeded this far without a 429 is a thing of the past: slow start takes over."""
PROBE_STEP = 0.03
"""The first turnover of a probe adds such a share of that level, each further one twice as much as the last."""
CALM_ROUNDS = 2
"""A 429 within so many turnovers of the last cut belongs to the same trouble."""
HOLD_ROUNDS = 2
MAX_HOLD_ROUNDS = 48
PATIENCE = 1.5
PAUSED_SHARE = 0.03
"""Turnovers between probes. Where the pauses that they cost would take more than such a share of the time there are
more, growing by `PATIENCE` with each failure; where they cost nothing there are few, and new capacity is soon found.
"""


class Phase(Enum):
    """How the limit moves."""

    SLOW_START = auto()
    APPROACH = auto()
    HOLD = auto()
    PROBE = auto()


REASONS = {
    Phase.SLOW_START: "slow start: doubling until the first rate limit",
    Phase.APPROACH: "growing back towards the level that was rate limited",
    Phase.HOLD: "holding just below the level that was rate limited",
    Phase.PROBE: "probing above the level that was rate limited",
}


class Aimd(Cap):
    """Additive increase, multiplicative decrease, with a memory of where it failed."""

    __slots__ = (
        "_complaints",
        "_counted_from",
        "_cut_at",
        "_cut_to",
        "_failed_at",
        "_failures",
        "_gain",
        "_good",
        "_hold_rounds",
        "_is_full",
        "_left",
        "_pause_s",
        "_phase",
        "_refused",
        "_rounds",
        "_rounds_since_cut",
        "_sent",
        "_turnover",
    )

    def __init__(self, *, ceiling: int, floor: int = 1, start: float = START) -> None:
        super().__init__(start, ceiling=ceiling, floor=floor, reason=REASONS[Phase.SLOW_START])
        self._turnover = Turnover()
        self._phase = Phase.SLOW_START
        self._failed_at = math.inf
        """The level that was rate limited last."""
        self._cut_at = -math.inf
        self._cut_to = 0.0
        """When the last cut was, and what it left."""
        self._pause_s: float | None = 0.0
        """From the last cut to the first call after it, where room was not what it waited for; None until then."""
        self._failures = 0
        """Cuts at about this level."""
        self._hold_rounds = HOLD_ROUNDS
        self._rounds_since_cut = 0
        self._counted_from = -math.inf
        self._sent = 0
        self._refused = 0
        """Calls sent, and refused of them, since `_counted_from`, when the trouble began."""
        self._complaints = 0
        """Overloads that answers have not outweighed."""
        self._is_full = False
        """The limit was used up in this turnover."""
        self._rounds = 0
        """Turnovers in this phase."""
        self._left = self.limit
        """Answers to the end of this turnover."""
        self._good = self._exact
        """The level at the beginning of this turnover."""
        self._gain = 1.0
        """What each of them adds."""

    def on_start(self, now: float, in_flight: int) -> None:
        """See `Controller`."""
        self._sent += 1
        if self._pause_s is None:
            self._pause_s = now - self._cut_at if in_flight < self.limit else 0.0
        if in_flight >= self.limit:
            self._is_full = True

    def on_success(
        self,
        now: float,
        sent_at: float,
        in_flight: int,  # noqa: ARG002  # one signature for all
        output_tokens: int,  # noqa: ARG002
    ) -> None:
        """See `Controller`."""
        self._turnover.note(now - sent_at)
        if sent_at <= self._cut_at:
            return
        if self._complaints:
            self._complaints -= 1
        if not self._is_full:
            return
        if self._gain:
            self._move(now, self._exact + self._gain, REASONS[self._phase])
        self._left -= 1
        if self._left <= 0:
            self._rounds += 1
            self._rounds_since_cut += 1
            self._begin_round(now)

    def on_limited(self, now: float, sent_at: float) -> None:
        """See `Controller`."""
        if sent_at > self._counted_from:
            self._refused += 1
        if sent_at > self._cut_at:
            self._cut(now, "cut by a rate limit")

    def on_overload(self, now: float, sent_at: float) -> None:
        """See `Controller`. Single errors say nothing of capacity; more errors than answers do."""
        if sent_at <= self._cut_at:
            return
        self._complaints += 1
        if self._complaints > max(3, self.limit / 4):
            self._cut(now, "cut: the server is overloaded")

    def _cut(self, now: float, reason: str) -> None:
        """One cut for one burst: deep or shallow by what came before it."""
        is_sequel = self._rounds_since_cut < CALM_ROUNDS and self._exact <= self._cut_to * GROWN
        if is_sequel:
            left = self._let_through(now)
            failed_at = min(self._failed_at, left / CUT)
            self._failures = self._failures if left > self._exact * FALLEN else 0
        elif self._phase is Phase.SLOW_START:
            left, failed_at = self._good * PROBE_CUT, (self._good + self._exact) / 2
        else:
            left, failed_at = self._exact * (PROBE_CUT if self._phase is Phase.PROBE else CUT), self._exact
            self._failures += 1
        if not is_sequel or now - self._counted_from > COUNTED_ROUNDS * self._turnover.seconds:
            self._counted_from, self._sent, self._refused = now, 0, 0
        self._failed_at = failed_at
        self._cut_at, self._cut_to, self._pause_s = now, left, None
        self._complaints = self._rounds_since_cut = 0
        self._move(now, left, reason)
        self._enter(Phase.APPROACH)
        self._begin_round(now)

    def _let_through(self, now: float) -> float:
        """What the server's own rate fills, from what it took since the trouble began; a standard error above that."""
        if self._sent < FEWEST_SENDS:
            return self._exact * SEQUEL_CUT
        taken = max(0, self._sent - self._refused)
        rate = (taken + math.sqrt(taken) + 1) / max(now - self._counted_from, TICK_S)
        return max(min(rate * self._turnover.seconds, self._exact * SEQUEL_CUT), self._exact * DEEPEST_CUT)

    def _begin_round(self, now: float) -> None:
        """Decide what the next turnover adds."""
        if self._phase is Phase.PROBE and self._exact > self._failed_at * VOID:
            self._failed_at, self._failures = math.inf, 0
            self._enter(Phase.SLOW_START)
        elif self._phase is Phase.APPROACH and self._exact >= SAFE * self._failed_at:
            self._hold_rounds = self._rounds_between_probes()
            self._enter(Phase.HOLD)
            self._move(now, self._exact, REASONS[Phase.HOLD])
        elif self._phase is Phase.HOLD and self._rounds >= self._hold_rounds:
            self._enter(Phase.PROBE)
        self._left, self._good, self._is_full = self.limit, self._exact, False
        self._gain = self._wanted_gain() / self._left

    def _wanted_gain(self) -> float:
        if self._phase is Phase.SLOW_START:
            return self._exact
        if self._phase is Phase.APPROACH:
            gap = SAFE * self._failed_at - self._exact
            return min(max(1.0, gap / 2), gap + 1e-9)
        if self._phase is Phase.PROBE:
            return max(1.0, PROBE_STEP * self._failed_at) * 2.0 ** min(self._rounds, 10)
        return 0.0

    def _rounds_between_probes(self) -> int:
        """See `PAUSED_SHARE`."""
        turnover = self._turnover.seconds
        spare = (self._pause_s or 0.0) / (PAUSED_SHARE * turnover) if turnover else 0.0
        patient = HOLD_ROUNDS * PATIENCE ** min(self._failures, 10)
        return int(max(HOLD_ROUNDS, min(spare, patient, MAX_HOLD_ROUNDS)))

    def _enter(self, phase: Phase) -> None:
        self._phase, self._rounds = phase, 0
