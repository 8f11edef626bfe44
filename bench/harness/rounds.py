"""Rounds of several clients, interleaved: A B C A B C, so that a noisy minute of the machine is everybody's.

A client that cannot be had or dies keeps the rounds it has, and its reason. One that answers what the server never
served (a cache, say) has no rounds.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.clients.contract import Setup
from bench.harness.child import ClientDiedError
from bench.harness.driver import Driver, Kind, Round


@dataclass(frozen=True, slots=True)
class Entrant:
    """A client, what it is told, and how many requests a round of it has."""

    kind: Kind
    setup: Setup
    count: int


@dataclass(slots=True)
class Rounds:
    """What came of them, by the clients' names."""

    done: dict[str, list[Round]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


def interleaved(entrants: Sequence[Entrant], num_rounds: int, num_served: Callable[[], int]) -> Rounds:
    """Start every client, ask each for a round in turn, `num_rounds` times, and end them all.

    `num_served` is what their one server has answered so far.
    """
    rounds = Rounds({entrant.kind.name: [] for entrant in entrants})
    with ExitStack() as stack:
        drivers: dict[str, Driver] = {}
        for entrant in entrants:
            try:
                driver = stack.enter_context(Driver.started(entrant.kind, entrant.setup))
            except ClientDiedError as error:
                rounds.reasons[entrant.kind.name] = str(error)
            else:
                drivers[entrant.kind.name] = driver
                rounds.versions[entrant.kind.name] = driver.versions
        for number in range(num_rounds):
            for entrant in entrants:
                before = num_served()
                _ask(entrant, drivers, number, rounds)
                _check(entrant.kind.name, rounds, num_served() - before)
    return rounds


def _ask(entrant: Entrant, drivers: dict[str, Driver], number: int, rounds: Rounds) -> None:
    name = entrant.kind.name
    if name not in drivers or name in rounds.reasons:
        return
    try:
        rounds.done[name].append(drivers[name].round(number * entrant.count, entrant.count))
    except ClientDiedError as error:
        rounds.reasons[name] = str(error)


def _check(name: str, rounds: Rounds, served: int) -> None:
    """Believe the server: a client that says more is out of the race, with all its rounds."""
    done = rounds.done[name]
    if name in rounds.reasons or done[-1].answered <= served:
        return
    rounds.reasons[name] = f"{done[-1].answered} answers in a round, of which the server gave {served}"
    done.clear()
