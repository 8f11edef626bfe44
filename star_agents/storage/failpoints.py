"""Where a test may end the process: before and after every step that makes something durable.

Law: nothing is armed unless a test says so, and then one point, once. An unarmed point is one comparison. What is
not in `POINTS` is no point, so a test that goes through all of them leaves none out.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

VARIABLE = "STAR_AGENTS_FAILPOINT"
"""Environment variable of a process under test: `commit.written:3` ends it when it comes there the third time."""

POINTS = (
    "create.begun",
    "create.done",
    "commit.before",
    "commit.writing",
    "commit.written",
    "commit.done",
    "commit.told",
    "learn.logged",
    "learn.stated",
    "learn.remembered",
    "publish.written",
    "publish.synced",
    "publish.renamed",
    "publish.done",
    "shard.read",
    "shard.published",
    "shard.listed",
    "shard.emptied",
    "shard.moved",
    "command.noted",
    "command.obeyed",
    "migrate.copied",
    "migrate.written",
    "migrate.done",
)


@dataclass(slots=True)
class _Armed:
    name: str
    left: int
    act: Callable[[], None]

    def reach(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if not self.left:
            self.act()


_armed: _Armed | None = None


def failpoint(name: str) -> None:
    """Come to the point `name`; nearly always nothing happens."""
    if _armed is not None:
        _armed.reach(name)


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(told: str | None, act: Callable[[], None] = kill) -> None:
    """Make the point in `NAME:N` act when it is reached for the N-th time; None or an empty text disarms.

    Raises:
        ValueError: there is no such point.
    """
    global _armed  # noqa: PLW0603  # one process, one point
    name, _, times = (told or "").partition(":")
    if name and name not in POINTS:
        raise ValueError(f"{VARIABLE}: no point {name}; there are {', '.join(POINTS)}")
    _armed = _Armed(name, int(times or 1), act) if name else None
