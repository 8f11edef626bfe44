"""Orders to a run: a row of the table `command` before anything of one is done, and what came of it afterwards.

Laws: an order is durable before it takes effect; a key names at most one order that was done or is under way, and who
sends it again gets what the first came to. An order that was refused, or that nobody finished, leaves its key free.
Rows are bounded in size by who writes them, and in number here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from star_agents.storage.codec import Packer, checksum, read_told, sound
from star_agents.storage.database import reader

KEPT = 10_000
"""Orders of one verb that are kept at least: of a feeder that never rests the newest, and every pause of a year."""

PRUNE_EVERY = 256

_COLUMNS = "id, at, actor, verb, key, outcome, crc32, body"
_AFTER = f"SELECT {_COLUMNS} FROM command WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  # our own columns
_NEWEST = f"SELECT {_COLUMNS} FROM command ORDER BY id DESC LIMIT ?"  # noqa: S608
_BEGUN = f"SELECT {_COLUMNS} FROM command WHERE outcome = 'begun' ORDER BY id"  # noqa: S608
_OF_KEY = f"SELECT {_COLUMNS} FROM command WHERE key = ? AND outcome IN ('begun', 'done')"  # noqa: S608
_NOTE = "INSERT INTO command (at, actor, verb, key, outcome, crc32, body) VALUES (?, ?, ?, ?, 'begun', ?, ?)"
_PRUNE = """
DELETE FROM command WHERE verb = ? AND outcome <> 'begun'
AND id <= (SELECT id FROM command WHERE verb = ? ORDER BY id DESC LIMIT 1 OFFSET ?)
"""


class Verb(StrEnum):
    """What can be ordered."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    RETUNE = "retune"
    AGENTS = "agents"
    SEEDS = "seeds"


class Outcome(StrEnum):
    """What came of an order. VOID: its process ended before it was done, and nobody will do it."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked, and by which door it came (`actor`); `body` is plain data without secrets."""

    verb: Verb
    actor: str
    body: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An order on record. `answer` is what it came to, or the reasons for a refusal; None where nobody has told."""

    id: int
    at: str
    actor: str
    verb: Verb
    outcome: Outcome
    body: Mapping[str, Any]
    key: str | None = None
    answer: Any = None


class Noted(NamedTuple):
    """An order that is durable; `is_new` is False where `command` is an earlier one of the same key."""

    command: Command
    is_new: bool


def note(connection: apsw.Connection, packer: Packer, order: Order, at: str) -> Noted:
    """Put an order on record, or find the one that had its key. Runs inside the writer's transaction."""
    key = None if order.key is None else sound(order.key)
    if key is not None and (row := connection.execute(_OF_KEY, (key,)).fetchone()):
        return Noted(_read(row), is_new=False)
    body = packer.pack({"body": order.body, "answer": None})
    actor = sound(order.actor)
    connection.execute(_NOTE, (at, actor, order.verb.value, key, checksum(body), body))
    number = connection.last_insert_rowid()
    if number % PRUNE_EVERY == 0:
        connection.execute(_PRUNE, (order.verb.value, order.verb.value, KEPT))
    command = Command(id=number, at=at, actor=actor, verb=order.verb, outcome=Outcome.BEGUN, body=order.body, key=key)
    return Noted(command, is_new=True)


def settle(connection: apsw.Connection, packer: Packer, number: int, outcome: Outcome, answer: object) -> None:
    """Write down what came of an order. Runs inside the writer's transaction."""
    row = connection.execute("SELECT crc32, body FROM command WHERE id = ?", (number,)).fetchone()
    if row is None:
        return
    told = read_told(f"command {number}", *row)
    body = packer.pack({"body": told["body"], "answer": answer})
    connection.execute(
        "UPDATE command SET outcome = ?, crc32 = ?, body = ? WHERE id = ?",
        (outcome.value, checksum(body), body, number),
    )


def read_commands(path: Path, *, after: int = 0, limit: int = 1000) -> tuple[Command, ...]:
    """Orders after one, oldest first. Blocks, as all of these do.

    Raises (all of these):
        StoreError: the database cannot be read, or a row is damaged.
    """
    return _rows(path, _AFTER, after, limit)


def read_newest(path: Path, *, limit: int) -> tuple[Command, ...]:
    """The newest orders, newest first."""
    return _rows(path, _NEWEST, limit)


def read_begun(path: Path) -> tuple[Command, ...]:
    """Orders that nobody has told the outcome of: under way, or left behind by a process that was killed."""
    return _rows(path, _BEGUN)


def _rows(path: Path, query: str, *bindings: int) -> tuple[Command, ...]:
    with reader(path) as connection:
        return tuple(map(_read, connection.execute(query, bindings)))


def _read(row: tuple[Any, ...]) -> Command:
    number, at, actor, verb, key, outcome, crc, body = row
    told = read_told(f"command {number}", crc, body)
    return Command(
        id=number,
        at=at,
        actor=actor,
        verb=Verb(verb),
        outcome=Outcome(outcome),
        body=told["body"],
        key=key,
        answer=told["answer"],
    )
