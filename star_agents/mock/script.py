"""When something goes wrong: scripts, asked once for each request.

Law: a script decides by the request, by how often the same one has come and by the time since the start; chance
is named by these, so the same run meets the same faults in whatever order it asks.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from star_agents.mock.answers import chance_of, prompt_of
from star_agents.mock.catalogue import CATALOGUE, MENDABLE
from star_agents.mock.faults import Fault


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a script sees it. `times` is how often the same one has come before."""

    number: int
    fingerprint: str
    times: int
    body: Mapping[str, Any]
    at_s: float = 0.0
    """Seconds since the server began to listen."""


Script = Callable[[Seen], Fault | None]


def never(_: Seen) -> None:
    """The script of a healthy server."""


def always(fault: Fault) -> Script:
    """Fail every request."""
    return lambda _: fault


def first(count: int, fault: Fault) -> Script:
    """Fail the first requests to arrive, then none."""
    return lambda seen: fault if seen.number < count else None


def in_turn(faults: Iterable[Fault | None]) -> Script:
    """One entry a request, in order of arrival; none after the last."""
    left = iter(tuple(faults))
    return lambda _: next(left, None)


@dataclass(frozen=True, slots=True)
class Chance:
    """Fails a share of the sends, drawn by name from `seed`."""

    rate: float
    seed: int = 0
    names: tuple[str, ...] = MENDABLE

    def __call__(self, seen: Seen) -> Fault | None:
        """See `Script`."""
        draw = chance_of(self.seed, seen.fingerprint, seen.times)
        if draw >= self.rate:
            return None
        return CATALOGUE[self.names[int(draw / self.rate * len(self.names))]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a script: these faults, for requests that meet every condition given."""

    faults: Sequence[Fault]
    """Drawn from evenly."""
    rate: float = 1.0
    numbers: frozenset[int] | None = None
    """Of requests in order of arrival, from 0."""
    from_number: int = 0
    until_number: int | None = None
    max_times: int | None = None
    """Of the same request only so many sends fail."""
    content: re.Pattern[str] | None = None
    """Found in the text of the request."""
    from_s: float = 0.0
    until_s: float | None = None
    period_s: float | None = None
    """The window from `from_s` to `until_s` comes again so often."""
    seed: int = 0

    def __call__(self, seen: Seen) -> Fault | None:
        """See `Script`."""
        if not (self._is_due(seen) and self.is_open(seen.at_s) and self._is_meant(seen)):
            return None
        draw = chance_of(self.seed, self.faults[0].name, seen.fingerprint, seen.times)
        return self.faults[int(draw / self.rate * len(self.faults))] if draw < self.rate else None

    def is_open(self, at_s: float) -> bool:
        """Is this a time at which the rule holds?"""
        if self.period_s is not None:
            at_s %= self.period_s
        return self.from_s <= at_s and (self.until_s is None or at_s < self.until_s)

    def _is_due(self, seen: Seen) -> bool:
        if self.numbers is not None and seen.number not in self.numbers:
            return False
        if seen.number < self.from_number or (self.until_number is not None and seen.number >= self.until_number):
            return False
        return self.max_times is None or seen.times < self.max_times

    def _is_meant(self, seen: Seen) -> bool:
        return self.content is None or self.content.search(prompt_of(seen.body)) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """The first rule that has a fault for a request decides."""

    rules: Sequence[Rule]

    def __call__(self, seen: Seen) -> Fault | None:
        """See `Script`."""
        return next((fault for rule in self.rules if (fault := rule(seen)) is not None), None)
