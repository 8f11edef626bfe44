"""What a start finds in a run folder: where the run stands, and what was open when it ended.

The cost is that of the seeds in flight, of the newest rows and of the memory bank's capacity, not of what is done:
finished rows are in shards, of which only the names are looked at.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import apsw

from star_agents.core.calls import CallKey, Purpose, Reply
from star_agents.core.errors import StoreError
from star_agents.core.records import (
    AgentPair,
    Epoch,
    MemoryEntry,
    PairWeights,
    Plan,
    Tally,
)
from star_agents.policy.epochs import pairs_at
from star_agents.storage.codec import check, read_epoch, read_floats, read_manifest, read_plan, read_reply, read_tally
from star_agents.storage.database import reader
from star_agents.storage.lost import Lost, LostFileError
from star_agents.storage.manifest import Manifest
from star_agents.storage.shards import folder_of, listed, missing
from star_agents.storage.spending import Account, Spend, stored_spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands. `weights` is None before the first batch; `next_seed` is the first never planned.

    `epochs` are the changes of the pool, oldest first; the manifest holds the pool that the run was begun with.
    """

    manifest: Manifest
    weights: PairWeights | None
    tally: Tally
    spend: dict[Account, Spend]
    batches: int
    finished: int
    in_flight: int
    next_seed: int
    epochs: tuple[Epoch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Everything a start needs to go on: plans without a result, the replies they have, and the memory bank.

    `entries` are the newest, oldest first. `lost` are files of finished rows that are gone: nothing in them is needed.
    """

    standing: Standing
    open_plans: tuple[Plan, ...]
    replies: dict[CallKey, Reply]
    entries: tuple[MemoryEntry, ...]
    lost: tuple[Lost, ...] = ()


def read_standing(path: Path) -> Standing:
    """Where the run in this database stands; for any process, at any time.

    Raises:
        StoreError: the database cannot be read, or a row that it needs is damaged.
    """
    with reader(path) as connection:
        connection.execute("BEGIN")  # one snapshot for all that follows
        return _standing(connection)


def read_spend(path: Path) -> dict[Account, Spend]:
    """What has been spent, by who is charged; cheap enough for twice a second.

    Raises:
        StoreError: the database cannot be read.
    """
    with reader(path) as connection:
        return stored_spend(connection)


def recover(path: Path, *, capacity: int, allow_missing: bool = False) -> Recovered:
    """What a start needs, with at most `capacity` memory entries.

    Raises:
        LostFileError: a file of finished rows is gone, and that is not allowed.
        StoreError: the database cannot be read, or a row that it needs is damaged.
    """
    with reader(path) as connection:
        connection.execute("BEGIN")  # one snapshot for all that follows
        lost = missing(folder_of(path), listed(connection))
        if lost and not allow_missing:
            raise LostFileError(lost[0])
        return Recovered(
            standing=_standing(connection),
            open_plans=_open_plans(connection),
            replies=_open_replies(connection),
            entries=_entries(connection, capacity),
            lost=lost,
        )


def stored_manifest(connection: apsw.Connection) -> Manifest:
    """The manifest that the run was begun with."""
    crc, body = connection.execute("SELECT crc32, body FROM manifest").get
    return read_manifest("manifest", crc, body)


def stored_epochs(connection: apsw.Connection) -> tuple[Epoch, ...]:
    """Every change of the pool, oldest first."""
    rows = connection.execute("SELECT version, crc32, body FROM epoch ORDER BY version")
    return tuple(read_epoch(f"epoch of version {version}", crc, body) for version, crc, body in rows)


def _standing(connection: apsw.Connection) -> Standing:
    manifest = stored_manifest(connection)
    in_flight = connection.execute("SELECT count(*) FROM open_plan").get
    moved, last_moved = connection.execute("SELECT ifnull(sum(rows), 0), ifnull(max(seed_hi), -1) FROM shard").get
    finished = moved + connection.execute("SELECT count(*) FROM log").get
    batches = connection.execute("SELECT ifnull((SELECT batch FROM log ORDER BY seq DESC LIMIT 1), 0)").get
    last_planned = connection.execute("SELECT ifnull(max(seed), -1) FROM plan").get
    tally = connection.execute("SELECT crc32, body FROM tally").fetchone()
    epochs = stored_epochs(connection)
    return Standing(
        manifest=manifest,
        weights=_weights(connection, manifest.pairs, epochs),
        epochs=epochs,
        tally=Tally(()) if tally is None else read_tally("tally", *tally),
        spend=stored_spend(connection),
        batches=batches,
        finished=finished,
        in_flight=in_flight,
        next_seed=max(last_planned, last_moved) + 1,
    )


def _weights(
    connection: apsw.Connection, pairs: tuple[AgentPair, ...], epochs: tuple[Epoch, ...]
) -> PairWeights | None:
    row = connection.execute(
        "SELECT version, applied_seq, crc32, p, state FROM policy ORDER BY version DESC LIMIT 1"
    ).fetchone()
    last = connection.execute("SELECT ifnull(max(seq), 0) FROM log").get
    if last != (0 if row is None else row[1]):
        raise StoreError(
            f"the weights are not those of the log, which ends at {last}: restore a copy of the run folder"
        )
    if row is None:
        return None
    version, _, crc, *blobs = row
    p, state = read_floats(f"policy of version {version}", crc, *blobs)
    return PairWeights(version, pairs_at(pairs, epochs, version), p, state)


def _open_plans(connection: apsw.Connection) -> tuple[Plan, ...]:
    rows = connection.execute("SELECT seed, crc32, body, embedding FROM open_plan JOIN plan USING (seed) ORDER BY seed")
    return tuple(read_plan(f"plan of seed {seed}", crc, body, embedding) for seed, crc, body, embedding in rows)


def _open_replies(connection: apsw.Connection) -> dict[CallKey, Reply]:
    rows = connection.execute(
        "SELECT seed, purpose, slot, ordinal, crc32, body FROM open_plan CROSS JOIN reply USING (seed)"
    )
    replies = {}
    for seed, purpose, slot, ordinal, crc, body in rows:
        row = f"{purpose} reply of seed {seed}, slot {slot}, ordinal {ordinal}"
        replies[CallKey(seed, Purpose(purpose), slot, ordinal)] = read_reply(row, crc, body)
    return replies


def _entries(connection: apsw.Connection, capacity: int) -> tuple[MemoryEntry, ...]:
    rows = connection.execute(
        "SELECT seed, instruction, response, pi, crc32, embedding FROM bank ORDER BY seq DESC LIMIT ?", (capacity,)
    )
    newest_first = []
    pair_of = cache(AgentPair)  # each pair once, however many entries it won
    for seed, instruction, response, pi, crc, embedding in rows:
        check(f"memory entry of seed {seed}", crc, embedding)
        newest_first.append(MemoryEntry(seed, pair_of(instruction, response), pi, embedding))
    return tuple(reversed(newest_first))
