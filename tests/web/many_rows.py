"""A store with very many finished rows, as a long run leaves it: nearly all of them in shards."""

from dataclasses import replace
from pathlib import Path

import apsw

from star_agents.core.records import Candidate, Graded
from star_agents.storage import moving
from star_agents.storage.codec import Packer, checksum
from star_agents.storage.database import open_writer
from tests.storage.examples import EMBEDDING, MANIFEST, completion, graded

CHUNK = 5_000
_REPLY = (
    "INSERT INTO reply VALUES (?, 'respond', 1, 0, 1, 'gpt', 'm', 'weak', '', '', 1, 7, 11, NULL, NULL, 0, 0, 0, ?, ?)"
)


def many_rows(path: Path, number: int) -> None:
    """Write them in a few large transactions, and move what is due."""
    connection = open_writer(path, MANIFEST)
    connection.execute("PRAGMA synchronous = OFF")  # a fixture may be lost
    template, packer = graded(0), Packer()
    try:
        for first in range(0, number, CHUNK):
            with connection:
                for seed in range(first, min(first + CHUNK, number)):
                    _insert(connection, packer, _row(template, seed))
            while (shard := moving.write_next(path)) is not None:
                with connection:
                    moving.move(connection, shard, keep_entries=0)
    finally:
        connection.close()


def _row(template: Graded, seed: int) -> Graded:
    settled = template.settled
    plan = replace(settled.plan, seed=replace(settled.plan.seed, number=seed, instruction=f"Do thing {seed}."))
    best = Candidate(1, f"Do thing {seed} deeply.", f"Deep answer {seed}", "smollm")
    return replace(
        template, settled=replace(settled, plan=plan, outcomes=(settled.outcomes[0], best, settled.outcomes[2]))
    )


def _insert(connection: apsw.Connection, packer: Packer, row: Graded) -> None:
    plan, body = packer.plan(row.settled.plan), packer.graded(row)
    seed = row.settled.plan.seed.number
    reply = packer.pack(completion(f"Deep answer {seed}"))
    connection.execute("INSERT INTO plan VALUES (?, 0, ?, ?, ?)", (seed, checksum(plan, EMBEDDING), plan, EMBEDDING))
    connection.execute(_REPLY, (seed, checksum(reply), reply))
    values = (seed + 1, seed, seed // 32 + 1, row.selection.slot, row.selection.pi, checksum(body), body)
    connection.execute("INSERT INTO log VALUES (?, ?, ?, 1, 'candidate', ?, ?, NULL, ?, ?)", values)
