"""Calls that failed for good: what became of each, and how many there are of a kind.

A dead letter is a reply like any other, kept with its reason; the run went on without it. The index of failed
calls finds them without reading the others, and of the shards only those are read that hold any. A seed is named by
its number, and its texts are in its plan: a letter repeats only the beginning of the instruction, for a person to
recognise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw

from star_agents.core.calls import Completion, Failure
from star_agents.core.errors import StoreError
from star_agents.storage import shards
from star_agents.storage.codec import read_plan, read_reply
from star_agents.storage.database import reader
from star_agents.storage.lost import OnLost, tolerant
from star_agents.storage.older import failed_calls_hint
from star_agents.storage.shards import Shard

EXCERPT_CHARS = 200
"""Characters of an instruction in a dead letter."""

PAGE_ROWS = 256

_LETTERS = """
SELECT seed, purpose, slot, ordinal, agent, pair, reply.crc32, reply.body, plan.crc32, plan.body, plan.embedding
FROM reply {hint} JOIN plan USING (seed)
WHERE ok = 0 AND (seed, purpose, slot, ordinal) > (?, ?, ?, ?)
ORDER BY seed, purpose, slot, ordinal LIMIT ?
"""

_KINDS = """
SELECT endpoint, reason, count(*), max(rowid) FROM reply {hint} WHERE ok = 0
GROUP BY endpoint, reason ORDER BY count(*) DESC, endpoint, reason
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A call that failed for good. Agent and pair are empty where the run was begun under schema 1."""

    seed: int
    purpose: str
    slot: int
    ordinal: int
    pair: str
    agent: str
    endpoint: str
    reason: str
    message: str
    attempts: int
    wasted_input: int
    wasted_output: int
    instruction: str
    """The beginning of the seed's."""


@dataclass(frozen=True, slots=True)
class FailureKind:
    """How many calls to an endpoint failed for one reason, and the newest one's message."""

    endpoint: str
    reason: str
    calls: int
    message: str


def iter_dead_letters(path: Path, on_lost: OnLost | None = None) -> Iterator[DeadLetter]:
    """Every call of a run that failed for good: those that lie in shards first, then by seed; a page in memory.

    With `on_lost` a shard that has lost one of its files is told, and passed over.

    Raises:
        StoreError: the database cannot be read, or a row is damaged; it names the row.
    """
    last: tuple[Any, ...] = (-1, "", 0, 0)
    told: set[int] = set()
    folder = shards.folder_of(path)
    with reader(path) as connection:
        before = _failing(connection)
        for shard in before:
            yield from map(_letter, tolerant(_moved(folder, shard), on_lost))
        while page := _rows(connection, _LETTERS, *last, PAGE_ROWS):
            for row in page:
                yield _letter(row)
                told.add(row[0])
            last = page[-1][:4]
        for shard in _failing(connection)[len(before) :]:  # has left the tables meanwhile
            rows = tolerant(_moved(folder, shard), on_lost)
            yield from (_letter(row) for row in rows if row[0] not in told)


def failure_kinds(path: Path, on_lost: OnLost | None = None) -> tuple[FailureKind, ...]:
    """How many calls failed, by endpoint and reason, the most frequent first; `on_lost` as above.

    Raises:
        StoreError: the database cannot be read, or a row is damaged; it names the row.
    """
    kinds: dict[tuple[str, str], FailureKind] = {}
    with reader(path) as connection:
        connection.execute("BEGIN")  # one snapshot of tables and shards
        for shard in _failing(connection):
            calls = shard.read_replies(shards.folder_of(path), ("ok", "seed", "crc32", "body"))
            for ok, *row in tolerant(calls, on_lost):
                if not ok:
                    failure = _failure(*row)
                    _count(kinds, FailureKind(failure.endpoint, failure.reason, 1, failure.message))
        for endpoint, reason, calls, newest in _rows(connection, _KINDS):
            _count(kinds, FailureKind(endpoint, reason, calls, _message(connection, newest)))
    return tuple(sorted(kinds.values(), key=lambda kind: (-kind.calls, kind.endpoint, kind.reason)))


def _count(kinds: dict[tuple[str, str], FailureKind], more: FailureKind) -> None:
    """Add calls of a kind; their message is newer."""
    name = more.endpoint, more.reason
    before = kinds[name].calls if name in kinds else 0
    kinds[name] = replace(more, calls=before + more.calls)


def _failing(connection: apsw.Connection) -> list[Shard]:
    return [shard for shard in shards.listed(connection) if shard.failures]


def _moved(folder: Path, shard: Shard) -> Iterator[tuple[Any, ...]]:
    """The failed calls of a shard with their plans, as `_LETTERS` has those of the tables."""
    wanted = ("ok", "seed", "purpose", "slot", "ordinal", "agent", "pair", "crc32", "body")
    failed = [row[1:] for row in shard.read_replies(folder, wanted) if not row[0]]
    seeds = {row[0] for row in failed}
    found = shard.read_rows(folder, ("seed", "plan_crc32", "plan_body", "embedding"))
    plans = {row[0]: row[1:] for row in found if row[0] in seeds}
    yield from ((*row, *plans[row[0]]) for row in failed)


def _rows(connection: apsw.Connection, query: str, *bindings: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  # columns of any type
    return connection.execute(query.format(hint=failed_calls_hint(connection)), bindings).fetchall()


def _message(connection: apsw.Connection, rowid: int) -> str:
    seed, crc, body = connection.execute("SELECT seed, crc32, body FROM reply WHERE rowid = ?", (rowid,)).get
    return _failure(seed, crc, body).message


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    seed, purpose, slot, ordinal, agent, pair, crc, body, *plan_row = row
    failure = _failure(seed, crc, body)
    plan = read_plan(f"plan of seed {seed}", *plan_row)
    return DeadLetter(
        seed=seed,
        purpose=purpose,
        slot=slot,
        ordinal=ordinal,
        pair=pair,
        agent=agent,
        endpoint=failure.endpoint,
        reason=failure.reason,
        message=failure.message,
        attempts=failure.attempts,
        wasted_input=failure.wasted.input_tokens,
        wasted_output=failure.wasted.output_tokens,
        instruction=plan.seed.question[:EXCERPT_CHARS],
    )


def _failure(seed: int, crc: int, body: bytes) -> Failure:
    row = f"failed call of seed {seed}"
    reply = read_reply(row, crc, body)
    if isinstance(reply, Completion):
        raise StoreError(f"the {row} is none: restore a copy of the run folder")
    return reply
