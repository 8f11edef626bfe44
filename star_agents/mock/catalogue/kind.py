"""What the table of faults is made of."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from star_agents.mock.faults import Fault

Make = Callable[[str], Fault]


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table. `make` takes the argument of `NAME:RATE:ARG`, or `default` where there is none."""

    name: str
    rows: str
    does: str
    make: Make
    default: str = ""

    def made(self, argument: str | None = None) -> Fault:
        """The fault, by its own name.

        Raises:
            ValueError: the argument is not what this kind takes.
        """
        return replace(self.make(self.default if argument is None else argument), name=self.name)


def plain(fault: Fault, rows: str, does: str) -> Kind:
    """A kind that takes no argument."""
    return Kind(fault.name, rows, does, lambda _: fault)
