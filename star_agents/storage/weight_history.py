"""Every version of the weights, from the first batch on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from star_agents.core.records import PairWeights
from star_agents.policy.epochs import pairs_at
from star_agents.storage.codec import read_floats
from star_agents.storage.database import reader
from star_agents.storage.recovery import stored_epochs, stored_manifest

_VERSIONS = (
    "SELECT version, applied_seq, crc32, p, state FROM policy "
    "WHERE version > ? AND version % ? = 0 ORDER BY version LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Version:
    """Weights, and the last row of the log that they know."""

    applied_seq: int
    weights: PairWeights


def read_history(path: Path, *, after: int = 0, limit: int = 1000, step: int = 1) -> tuple[Version, ...]:
    """The versions after one that `step` divides, at most `limit`, oldest first. Blocks.

    Raises:
        StoreError: the database cannot be read, or a version is damaged.
    """
    return tuple(_versions(path, after, limit, step))


def _versions(path: Path, after: int, limit: int, step: int) -> Iterator[Version]:
    with reader(path) as connection:
        pairs, epochs = stored_manifest(connection).pairs, stored_epochs(connection)
        for version, applied_seq, crc, *blobs in connection.execute(_VERSIONS, (after, step, limit)):
            p, state = read_floats(f"policy of version {version}", crc, *blobs)
            yield Version(applied_seq, PairWeights(version, pairs_at(pairs, epochs, version), p, state))
