"""Counts for `GET /mock/stats`: what was received and served, and how long the server was of use.

Law: `in_flight_s` is the number of requests in flight integrated over time; `useful_s` is the part of it spent on
the first right reply to each request. A second right reply to the same request is not useful.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from star_agents.mock.answers import Answer


@dataclass(slots=True)
class Stats:
    """Counted as it happens; times are the loop's."""

    in_flight: int = 0
    peak_in_flight: int = 0
    requests: int = 0
    served: int = 0
    abandoned: int = 0
    """Ended without a status: the client left, or was cut off before the first byte."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of right replies."""
    in_flight_s: float = 0.0
    useful_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    """By finish reason, as vLLM counts them."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Sends by fingerprint."""
    answered: dict[str, int] = field(default_factory=dict)
    """Right replies by fingerprint."""
    _at: float = 0.0

    def begin(self, now: float, fingerprint: str) -> int:
        """A request has come; how often the same one had come before."""
        self.settle(now)
        self.requests += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        times = self.attempts.get(fingerprint, 0)
        self.attempts[fingerprint] = times + 1
        return times

    def end(self, now: float) -> None:
        """A request has ended, one way or another."""
        self.settle(now)
        self.in_flight -= 1

    def count(self, status: int | None, fault: str | None) -> None:
        """How it ended; without a status the client got nothing, or left."""
        if status is None:
            self.abandoned += 1
        else:
            self.statuses[status] += 1
        if fault is not None:
            self.faults[fault] += 1

    def serve(self, fingerprint: str, took_s: float, said: Answer) -> None:
        """A right reply was handed over."""
        self.served += 1
        self.prompt_tokens += said.prompt_tokens
        self.completion_tokens += said.completion_tokens
        self.finished[said.finish_reason] += 1
        times = self.answered.get(fingerprint, 0)
        self.answered[fingerprint] = times + 1
        if not times:
            self.useful_s += took_s

    def settle(self, now: float) -> None:
        """Integrate up to now."""
        self.in_flight_s += (now - self._at) * self.in_flight
        self._at = now

    def picture(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "requests": self.requests,
            "distinct_requests": len(self.attempts),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "served": self.served,
            "served_again": self.served - len(self.answered),
            "abandoned": self.abandoned,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "in_flight_s": self.in_flight_s,
            "useful_s": self.useful_s,
            "statuses": {str(status): times for status, times in sorted(self.statuses.items())},
            "faults": dict(sorted(self.faults.items())),
            "attempts": _histogram(self.attempts),
            "replies": _histogram(self.answered),
        }


def _histogram(times: dict[str, int]) -> dict[str, int]:
    """How many requests came so often."""
    return {str(number): many for number, many in sorted(Counter(times.values()).items())}
