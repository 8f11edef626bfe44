"""What faults cost, from a server's journal. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from bench.harness.journal import Journal, Span, quantile_s

UNTIL = 0.95
"""Rates are taken until so many of the answers are in: the end of a run is not the rate of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Useful answers a second, beside the best there is at this share of faults."""

    answers_per_s: float
    ideal_per_s: float
    fault_share: float
    attempts: float
    """Sends a request."""

    @property
    def of_ideal(self) -> float:
        """1 is perfect."""
        return self.answers_per_s / self.ideal_per_s


def goodput(journal: Journal, slots: int, *, broken_off_s: float | None = None) -> Goodput:
    """Useful answers over the ideal `C / (s + f / (1 - f) * t_f)`.

    With C slots, s an answer's time, f the share of the sends that fail and t_f a failure's time: an answer pays for
    the `f / (1 - f)` failures that come before it on average. A run that was broken off after some seconds is
    counted over all of them.
    """
    served = journal.served()
    failed = [span for span in journal.spans if not span.is_served]
    share = len(failed) / len(journal.spans)
    cost_s = _mean_s(served) + share / (1 - share) * _mean_s(failed)
    took_s = quantile_s([span.ended_s for span in served], UNTIL) - journal.began_s
    return Goodput(
        answers_per_s=len(served) / broken_off_s if broken_off_s else UNTIL * len(served) / took_s,
        ideal_per_s=slots / cost_s,
        fault_share=share,
        attempts=len(journal.spans) / len(journal.sends()),
    )


def _mean_s(spans: Sequence[Span]) -> float:
    return sum(span.took_s for span in spans) / len(spans) if spans else 0.0


def rate_at(moments: Sequence[float], at_s: float, window_s: float) -> float:
    """Events a second in the window that begins at a time; the moments are sorted."""
    return (bisect_left(moments, at_s + window_s) - bisect_left(moments, at_s)) / window_s


def first_s(
    moments: Sequence[float], times: Sequence[float], window_s: float, bounds: tuple[float, float]
) -> float | None:
    """The first of the times at which the rate in the window that follows is within the bounds, or None."""
    least, most = bounds
    return next((at for at in times if least <= rate_at(moments, at, window_s) <= most), None)


def steps(from_s: float, until_s: float, step_s: float) -> list[float]:
    """Times to look at."""
    return [from_s + number * step_s for number in range(int((until_s - from_s) / step_s))]
