"""What must hold of a run folder after any crash, looked at before anything is started in it again.

P1: everything that the store acknowledged is there. P2: no seed twice, none left out. P3: of the calls that a start
sent, no more than the endpoint takes at once are without a reply. P4: the weights are the fold of the log, bit for bit.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from bench.clients.stages import RULE, agents_of, pool_of
from bench.crash.small_run import CONCURRENCY, SETUP
from star_agents.core.errors import StoreError
from star_agents.policy.credits import Credit, credits
from star_agents.policy.epochs import fold
from star_agents.policy.weights import uniform
from star_agents.storage.database import reader
from star_agents.storage.integrity import examine
from star_agents.storage.recovery import Recovered, recover
from star_agents.storage.rows import FinishedRow, iter_rows
from star_agents.storage.shards import folder_of, listed

BEGUN = uniform(pool_of(agents_of(SETUP)))


@dataclass(slots=True)
class Acknowledged:
    """What the store has ever said to be durable, and what was sent."""

    plans: set[int] = field(default_factory=set)
    replies: set[str] = field(default_factory=set)
    learnt: set[int] = field(default_factory=set)
    version: int = 0
    sent: Counter[str] = field(default_factory=Counter)

    def add(self, lines: Iterable[list[str]]) -> None:
        """Take in lines of the ledger."""
        for what, first, *rest in lines:
            match what:
                case "S":
                    self.sent[first] += 1
                case "P":
                    self.plans.add(int(first))
                case "R":
                    self.replies.add(first)
                case "L":
                    self.version = int(first)
                    self.learnt.update(map(int, rest))


@dataclass(frozen=True, slots=True)
class Found:
    """A look at a run folder: what is wrong with it, and how many calls the crash has wasted."""

    problems: tuple[str, ...]
    wasted: int = 0
    """Calls of this start that were sent and whose reply is not there."""
    finished: int = 0


def look(database: Path, told: Acknowledged, sent: Iterable[str]) -> Found:
    """Compare the disk with what was acknowledged; `sent` are the calls of the start that was killed."""
    try:
        examine(database)  # as every start does
        if not database.stat().st_size:
            return Found(tuple(["P1: no run is left"] if told.plans else []))
        found = recover(database, capacity=9)
        rows = list(iter_rows(database, order="commit"))
        replies = set(_replies(database))
    except StoreError as error:
        return Found((f"unreadable: {error}",))
    wasted = set(sent) - replies
    problems = [*_losses(told, found, rows, replies), *_doubles(found, rows), *_fold(told, found, rows)]
    if len(wasted) > CONCURRENCY:
        problems.append(f"P3: {len(wasted)} calls wasted by one crash")
    return Found(tuple(problems), len(wasted), len(rows))


def _losses(told: Acknowledged, found: Recovered, rows: list[FinishedRow], replies: set[str]) -> Iterator[str]:
    finished = {row.graded.settled.plan.seed.number for row in rows}
    planned = finished | {plan.seed.number for plan in found.open_plans}
    for what, lost in (
        ("plans", told.plans - planned),
        ("replies", told.replies - replies),
        ("results", told.learnt - finished),
    ):
        if lost:
            yield f"P1: {len(lost)} acknowledged {what} lost"
    if planned != set(range(found.standing.next_seed)):
        yield "P2: a seed was passed by"


def _doubles(found: Recovered, rows: list[FinishedRow]) -> Iterator[str]:
    finished = [row.graded.settled.plan.seed.number for row in rows]
    if len(set(finished)) < len(finished):
        yield "P2: a seed was finished twice"
    if set(finished) & {plan.seed.number for plan in found.open_plans}:
        yield "P2: a finished seed is open"
    if found.standing.finished != len(finished):
        yield f"P2: {found.standing.finished} seeds are counted as finished, {len(finished)} are there"


def _fold(told: Acknowledged, found: Recovered, rows: list[FinishedRow]) -> Iterator[str]:
    batches: list[tuple[Credit, ...]] = [
        credits(row.graded for row in batch) for _, batch in groupby(rows, key=lambda row: row.batch)
    ]
    weights = found.standing.weights or BEGUN
    if fold(BEGUN, batches, RULE) != weights:
        yield "P4: the weights are not the fold of the log"
    if weights.version < told.version:
        yield "P1: acknowledged weights lost"


def _replies(database: Path) -> Iterator[str]:
    columns = ("seed", "purpose", "slot", "ordinal")
    with reader(database) as connection:
        for shard in listed(connection):
            yield from ("-".join(map(str, row)) for row in shard.read_replies(folder_of(database), columns))
        for row in connection.execute("SELECT seed, purpose, slot, ordinal FROM reply"):
            yield "-".join(map(str, row))
