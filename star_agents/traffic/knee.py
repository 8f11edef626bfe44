"""A limit learnt from a vLLM server's own figures: it never refuses, it queues.

Laws: the limit grows only on fresh figures, at most once in a turnover, while tokens/s grow with it and the KV cache
has room; a time in which it was not used up measures nothing; calls that wait on the server beyond a few are taken
back at once; preempted sequences cut the limit, nothing more is done until the calls above the new limit have drained,
and if it goes on after that the next cut is deeper. Without fresh figures the limit stays.

Several clients may share a server. Where it is full each adds one call a turnover, and takes back by its part of the
calls, so that they come to about equal parts (Chiu and Jain 1989). The few calls left waiting are what keeps the
server full: a slot that falls free there is filled without a journey. In the manner of prime-rl's
`orchestrator/concurrency.py`, with a search for the knee (`climb`) in place of its cap.
"""

from dataclasses import dataclass

from star_agents.traffic.climb import REASONS, Climb, Step
from star_agents.traffic.control import Cap
from star_agents.traffic.sample import Ratio

START = 32.0
STALE_S = 15.0
"""Figures further apart than this say nothing together."""
QUEUE_SHARE = 0.06
MIN_QUEUE = 2
"""Calls that may wait on the server: this share of those that run there, and at least so many."""
LEFT = 0.75
"""What is left of that when more has been taken back: it shows that the server is full."""
KV_FULL = 0.95
"""Nothing is added that would fill more than this part of the KV cache, going by what the present calls fill."""
TINY = 1e-9
FULL = 0.95
"""Calls in flight, over the limit, in a time that measures it."""
LONGEST = 40
"""A measurement that may be chance goes on for no more than so many looks: then it is as good as any."""
THRASH = 0.2
"""Preemptions for each answer, from which on the KV cache is too small for so many calls."""
CUT = 0.93
DEEPEST_CUT = 0.5


@dataclass(frozen=True, slots=True)
class Gauges:
    """What vLLM's `/metrics` said; the totals are since the server's start."""

    running: int
    waiting: int
    kv_usage: float
    """From 0 to 1."""
    preemptions: int
    generation_tokens: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """The beginning of a measurement."""

    at: float
    gauges: Gauges
    answered: int


class Knee(Cap):
    """Told of starts and answers as any controller, and of the server's figures about once a second."""

    __slots__ = (
        "_answered",
        "_busy_s",
        "_climb",
        "_counted_at",
        "_cut_at",
        "_cuts",
        "_in_flight",
        "_is_draining",
        "_looks",
        "_mark",
        "_sample",
        "_seen",
    )

    def __init__(self, *, ceiling: int, floor: int = 1, start: float = START) -> None:
        super().__init__(start, ceiling=ceiling, floor=floor, reason=REASONS[Step.RAMP])
        self._climb = Climb()
        self._in_flight = 0
        self._answered = 0
        self._busy_s = 0.0
        """Call seconds since the latest figures, counted up to `_counted_at`."""
        self._counted_at = 0.0
        self._sample = Ratio()
        """Tokens over seconds, of the looks that showed the limit used up."""
        self._looks = 0
        self._is_draining = False
        self._cut_at = float("-inf")
        self._cuts = 0
        """Preemption cuts with no calm turnover between them."""
        self._mark: _Mark | None = None
        self._seen: _Mark | None = None
        """The latest figures."""

    def on_start(self, now: float, in_flight: int) -> None:
        """See `Controller`."""
        self._count(now)
        self._in_flight = in_flight

    def on_success(
        self,
        now: float,
        sent_at: float,  # noqa: ARG002  # one signature for all
        in_flight: int,
        output_tokens: int,  # noqa: ARG002
    ) -> None:
        """See `Controller`."""
        self._count(now)
        self._in_flight = in_flight - 1
        self._answered += 1

    def on_limited(self, now: float, sent_at: float) -> None:
        """See `Controller`. A proxy in front of the server may limit rates after all."""
        if sent_at > self._cut_at:
            self._cut(now, self._exact * CUT, "cut by a rate limit")

    def observe(self, now: float, gauges: Gauges) -> None:
        """The server's figures came in."""
        was_full = self._was_full(now)
        before, self._seen = self._seen, _Mark(now, gauges, self._answered)
        if before is None or now - before.at > STALE_S or _has_restarted(before.gauges, gauges):
            self._begin(now, gauges)
            return
        if self._is_draining:
            self._is_draining = self._in_flight > self.limit
            if not self._is_draining:
                self._begin(now, gauges)
            return
        mark, waiting = self._mark or self._seen, min(gauges.waiting, before.gauges.waiting)
        if was_full and now > before.at:
            self._sample.add(gauges.generation_tokens - before.gauges.generation_tokens, now - before.at)
            self._looks += 1
        if self._is_thrashing(mark, gauges):
            self._cuts += 1
            # There was room for nearly so many, and each of them wrote: less than that would not do as well.
            wanted = self._exact * max(CUT**self._cuts, DEEPEST_CUT)
            self._cut(now, wanted, "cut: the server preempts sequences", is_needed=True)
        elif waiting > _allowed_queue(gauges):
            self._take_back(now, gauges, waiting)
        elif self._looks and self._answered - mark.answered >= self.limit:
            self._end_round(now, gauges, waiting)

    def _count(self, now: float) -> None:
        self._busy_s += self._in_flight * (now - self._counted_at)
        self._counted_at = now

    def _was_full(self, now: float) -> bool:
        """The limit has been used up since the latest figures; counts anew from now on."""
        self._count(now)
        busy_s, self._busy_s = self._busy_s, 0.0
        return self._seen is not None and busy_s >= FULL * self.limit * (now - self._seen.at)

    def _is_thrashing(self, mark: _Mark, gauges: Gauges) -> bool:
        preempted = gauges.preemptions - mark.gauges.preemptions
        return preempted > max(1.0, THRASH * max(self._answered - mark.answered, self.limit))

    def _take_back(self, now: float, gauges: Gauges, waiting: int) -> None:
        """The server's queue is too long, and was the last time: our part of the excess is not sent again."""
        ours = min(1.0, self._in_flight / max(1, gauges.running + gauges.waiting))
        excess = ours * (waiting - LEFT * _allowed_queue(gauges))
        if excess >= 1.0:  # what is less is for the others to take back
            self._cut(now, self._in_flight - excess, "waiting queue on the server")

    def _end_round(self, now: float, gauges: Gauges, waiting: int) -> None:
        error = 0.0 if self._looks >= LONGEST else self._sample.error
        wanted = self._climb.measured(self._exact, self._sample.value, error)
        if wanted is None:
            return
        why = REASONS[self._climb.step]
        is_growing = self._climb.step in {Step.PROBE, Step.RAMP}
        if waiting > _allowed_queue(gauges) / 2 and self._climb.step is not Step.TRIM:
            wanted, why = (self._climb.hold() if is_growing else wanted) + 1, "the server is full"
        holds_at_most = self._exact * max(1.0, KV_FULL / max(gauges.kv_usage, TINY))
        if wanted > holds_at_most:
            wanted, why = holds_at_most, "the server's KV cache is nearly full"
        self._is_draining = wanted < self._exact
        self._move(now, wanted, why)
        self._cuts = 0
        self._begin(now, gauges)

    def _cut(self, now: float, wanted: float, reason: str, *, is_needed: bool = False) -> None:
        self._move(now, min(wanted, self._exact), reason)
        self._climb.rest_at(self._exact, is_needed=is_needed)
        self._is_draining, self._mark, self._cut_at = True, None, now

    def _begin(self, now: float, gauges: Gauges) -> None:
        self._mark = _Mark(now, gauges, self._answered)
        self._sample, self._looks = Ratio(), 0


def _allowed_queue(gauges: Gauges) -> float:
    return max(float(MIN_QUEUE), QUEUE_SHARE * gauges.running)


def _has_restarted(before: Gauges, after: Gauges) -> bool:
    """Totals went back: it is another process."""
    return after.generation_tokens < before.generation_tokens or after.preemptions < before.preemptions
