"""What a server's journal says of a run: the oracle of the benchmarks, which trust no client's own account.

Times are seconds since the server began to listen.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from star_agents.mock.journal import Entry, read_journal


@dataclass(frozen=True, slots=True)
class Span:
    """One send: from its arrival to its end. `is_served` is a right reply, sent whole."""

    fingerprint: str
    came_s: float
    ended_s: float
    is_served: bool
    status: int | None
    fault: str | None

    @property
    def took_s(self) -> float:
        """The server's time for it."""
        return self.ended_s - self.came_s


@dataclass(frozen=True, slots=True)
class Journal:
    """All sends that ended, in the order in which they did."""

    spans: tuple[Span, ...]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Join arrivals with ends."""
        came: dict[int, Entry] = {}
        spans = []
        for entry in read_journal(file):
            if entry.event == "request":
                came[entry.number] = entry
            elif (begun := came.pop(entry.number, None)) is not None:
                told = entry.is_served, entry.status, entry.fault
                spans.append(Span(entry.fingerprint, begun.at_s, entry.at_s, *told))
        return cls(tuple(spans))

    @property
    def began_s(self) -> float:
        """The first arrival."""
        return min(span.came_s for span in self.spans)

    def served(self) -> list[Span]:
        """The first right reply to each request, in the order of their ends."""
        first: dict[str, Span] = {}
        for span in self.spans:
            if span.is_served:
                first.setdefault(span.fingerprint, span)
        return list(first.values())

    def sends(self) -> Counter[str]:
        """By request."""
        return Counter(span.fingerprint for span in self.spans)


def busy_s(spans: Iterable[Span], slots: int, until_s: float) -> float:
    """Slot seconds in use up to a time: what is in flight beyond the slots only waits."""
    steps = Counter[float]()
    for span in spans:
        if span.came_s < until_s:
            steps[span.came_s] += 1
            steps[min(span.ended_s, until_s)] -= 1
    total, running, at_s = 0.0, 0, 0.0
    for moment in sorted(steps):
        total += min(running, slots) * (moment - at_s)
        running, at_s = running + steps[moment], moment
    return total


def quantile_s(ends: Sequence[float], share: float) -> float:
    """The time by which such a share of the events has happened."""
    return sorted(ends)[max(0, round(share * len(ends)) - 1)]
