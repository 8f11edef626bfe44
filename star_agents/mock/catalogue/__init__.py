"""The table of faults: name, rows of the fault list, what is done. `star-agents mock-server --list-faults` prints it.

Law: every name is unique and is the name of the fault it makes; without an argument a name always gives the same
object, so that scripts can be compared. Rows that no server can make by script: F-02, F-08, F-09, F-15 (the
client's own), F-03 (give the server an expired certificate). F-19, F-26, F-27 and F-31 are rates and time windows.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from star_agents.mock.catalogue import content, status, stream, transport
from star_agents.mock.catalogue.content import NO_CHOICES, REFUSED, SILENT, THINKING
from star_agents.mock.catalogue.kind import Kind
from star_agents.mock.catalogue.status import (
    BAD_REQUEST,
    ERROR_INSIDE,
    HTML,
    LIMITED,
    NOTHING,
    OUT_OF_QUOTA,
    TOO_LONG,
)
from star_agents.mock.catalogue.transport import BLACK_HOLE, NO_REPLY, RESET
from star_agents.mock.faults import Fault

__all__ = [
    "BAD_REQUEST",
    "BLACK_HOLE",
    "CATALOGUE",
    "ERROR_INSIDE",
    "HTML",
    "KINDS",
    "LIMITED",
    "MENDABLE",
    "NOTHING",
    "NO_CHOICES",
    "NO_REPLY",
    "OUT_OF_QUOTA",
    "REFUSED",
    "RESET",
    "SILENT",
    "THINKING",
    "TOO_LONG",
    "faults_named",
    "listing",
]

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*transport.KINDS, *status.KINDS, *stream.KINDS, *content.KINDS)
}
"""Everything that a command line or a script file can name."""

CATALOGUE: Mapping[str, Fault] = MappingProxyType({name: kind.made() for name, kind in KINDS.items()})
"""The same without arguments."""

MENDABLE = ("no_reply", "reset", "reset_mid_body", "short_body", "http_429", "http_500", "http_503", "error_inside")
"""Those that a further try mends; the name `mendable` draws from them evenly."""


def faults_named(name: str, argument: str | None = None) -> tuple[Fault, ...]:
    """The fault of that name, or those of a group.

    Raises:
        KeyError: no such name.
        ValueError: the argument is not what this fault takes.
    """
    if name == "mendable" and argument is None:
        return tuple(CATALOGUE[each] for each in MENDABLE)
    return (CATALOGUE[name] if argument is None else KINDS[name].made(argument),)


def listing(kinds: Iterable[Kind] = KINDS.values()) -> str:
    """The table for people: name, rows, what it does, and the argument where there is one."""
    lines = []
    for kind in kinds:
        argument = f" (ARG {kind.default})" if kind.default else ""
        lines.append(f"{kind.name:<18} {kind.rows:<10} {kind.does}{argument}\n")
    lines.append(f"{'mendable':<18} {'':<10} one of {', '.join(MENDABLE)}\n")
    return "".join(lines)
