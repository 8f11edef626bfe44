"""A limit learnt from how long answers take: for servers that queue and tell nothing.

Laws: time is counted for each written token, so a long answer is not a slow one; the limit moves once in a turnover
and only while it was used up; at an unchanged limit a token that takes several times as long cuts the limit in
proportion, once, until the calls above it have drained; otherwise it climbs while tokens/s grow with it (`climb`).

By Little's law calls in flight over seconds a token is tokens/s, so latency and throughput are one measurement. In
the manner of Netflix's concurrency-limits `Gradient2Limit` (the ratio of a long-term to a short-term latency), but
measured against the same limit: a batching server is slower for each call at every larger batch, and yet better used.
"""

from star_agents.traffic.climb import CLEAR, REASONS, Climb, Step
from star_agents.traffic.control import Cap
from star_agents.traffic.sample import Ratio

START = 8.0
MIN_ANSWERS = 100
"""A measurement takes a turnover, and at least so many answers: lengths differ."""
LONGEST = 40
"""It goes on while what it says may be chance, but for no more than so many times that: then it is as good as any."""
SLACK = 0.05
"""Answers measure no better within a time in which the server stays the same."""
TOLERANCE = 1.6
"""At an unchanged limit a token may take so many times as long as it did; more is a queue."""
DEEPEST_CUT = 0.1
TINY_S = 1e-9
"""No token takes less."""
RATE_CUT = 0.85
"""What a 429 of a proxy leaves."""


class Gradient(Cap):
    """Climbs on tokens/s as its own calls show them."""

    __slots__ = ("_answered", "_climb", "_cut_at", "_enough", "_is_full", "_sample", "_token_s")

    def __init__(self, *, ceiling: int, floor: int = 1, start: float = START) -> None:
        super().__init__(start, ceiling=ceiling, floor=floor, reason=REASONS[Step.RAMP])
        self._climb = Climb(SLACK)
        self._cut_at = float("-inf")
        self._is_full = False
        """The limit was used up since the measurement began."""
        self._answered = 0
        """Since the measurement began; below 0 are those that it lets pass first."""
        self._enough = 0
        """With so many it may end."""
        self._sample = Ratio()
        """Seconds over tokens."""
        self._token_s = 0.0
        """Seconds a token at the limit that is being held; 0 where it is not known."""
        self._begin(self.limit)

    def on_start(self, now: float, in_flight: int) -> None:  # noqa: ARG002  # one signature for all
        """See `Controller`."""
        if in_flight >= self.limit:
            self._is_full = True

    def on_success(
        self,
        now: float,
        sent_at: float,
        in_flight: int,  # noqa: ARG002  # one signature for all
        output_tokens: int,
    ) -> None:
        """See `Controller`."""
        if not self._is_full:
            return
        self._answered += 1
        if self._answered <= 0:
            return
        self._sample.add(now - sent_at, max(1, output_tokens))
        if self._answered % self._enough == 0:
            self._look(now)

    def on_limited(self, now: float, sent_at: float) -> None:
        """See `Controller`. A proxy in front of the server may limit rates after all."""
        if sent_at > self._cut_at:
            self._cut(now, RATE_CUT, "cut by a rate limit")

    def _look(self, now: float) -> None:
        """There are enough answers to say something, if not everything."""
        token_s, error = max(self._sample.value, TINY_S), self._sample.error
        is_holding = self._climb.step is Step.HOLD
        if is_holding and self._token_s and token_s * (1 - CLEAR * error) > TOLERANCE * self._token_s:
            self._cut(now, max(self._token_s / token_s, DEEPEST_CUT), "cut: each token takes much longer than it did")
            return
        is_last = self._answered >= LONGEST * self._enough
        wanted = self._climb.measured(self._exact, self._exact / token_s, 0.0 if is_last else error)
        if wanted is None:
            return
        self._token_s = token_s if is_holding else 0.0
        is_changed = wanted != self._exact
        turnover = max(self.limit, int(wanted))
        self._move(now, wanted, REASONS[self._climb.step])
        self._begin(turnover if is_changed else 0)

    def _cut(self, now: float, share: float, reason: str) -> None:
        turnover, self._cut_at = self.limit, now
        self._move(now, self._exact * share, reason)
        self._climb.rest_at(self._exact)
        self._token_s = 0.0
        self._begin(turnover)

    def _begin(self, passing: int) -> None:
        """Measure from now on, when so many answers have passed: they tell of the limit before."""
        is_doubling = self._climb.step is Step.RAMP
        self._enough = max(self.limit, MIN_ANSWERS // 4 if is_doubling else MIN_ANSWERS)
        self._answered, self._sample, self._is_full = -passing, Ratio(), False
