"""Between one replica of the fleet and the supervisor of the server behind it.

Law: the supervisor sees calls and answers through it and nothing else, and all it can do is stop and start the flow.
"""

from typing import Protocol


class Gate(Protocol):
    """What the fleet lets the supervisor of one replica see and do."""

    @property
    def in_flight(self) -> int:
        """Calls that are out to this replica."""
        ...

    @property
    def last_answer_at(self) -> float | None:
        """When something that a model wrote last came from it, on the loop's clock."""
        ...

    def hold(self) -> None:
        """Send it nothing more until `release`; calls out go on."""
        ...

    def release(self) -> None:
        """It works: send to it at once, whatever was thought of it before."""
        ...


class NoGate:
    """Where the fleet shows none: nothing is known to be out, so a hang is not looked for."""

    in_flight = 0
    last_answer_at = None

    def hold(self) -> None:
        """Nobody to tell: the fleet's breaker will find out."""

    def release(self) -> None:
        """Nobody to tell: the breaker's probe will find out."""
