"""Looking a run folder over: is every byte what was written, and are the weights those that its log leads to?

Law: nothing is changed, and the run may go on meanwhile; what is damaged is named. Blocks, for about as long as
reading every row takes.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from star_agents.core.errors import ConfigError
from star_agents.core.records import PairWeights
from star_agents.policy import epochs
from star_agents.policy.credits import credits
from star_agents.policy.weights import UpdateRule, uniform
from star_agents.service.config import learning
from star_agents.service.config.settings import Settings
from star_agents.service.doctor.checks import Cause, Finding, fail, ok, warn
from star_agents.service.replay import recorded_settings
from star_agents.storage import integrity
from star_agents.storage.lost import Lost, LostFileError
from star_agents.storage.recovery import Standing, read_standing
from star_agents.storage.rows import iter_rows
from star_agents.storage.weight_history import read_history

NAMED = 10
"""Damaged things that are named; of the others there is a count."""
RESTORE = "restore a copy of the run folder"


def database(path: Path) -> Iterator[Finding]:
    """SQLite's own check, then the checksum of every body in the tables.

    Raises:
        StoreError: the database cannot be read at all.
    """
    yield from _told("database", list(integrity.problems(path)), "SQLite finds it sound, and every checksum matches")


def shard_files(path: Path) -> Iterator[Finding]:
    """Files of finished rows against the list in the database.

    Raises:
        StoreError: the database cannot be read.
    """
    count, bad = integrity.shard_problems(path)
    yield from _told(
        "shards", list(map(str, bad)), f"{count} listed, each file is there as it was written", mend=Lost.mend
    )


def _told(subject: str, bad: Sequence[str], well: str, *, mend: str = RESTORE) -> Iterator[Finding]:
    if not bad:
        yield ok(subject, well)
    for name in bad[:NAMED]:
        yield fail(subject, name, mend, cause=Cause.STORE)
    if len(bad) > NAMED:
        yield fail(subject, f"{len(bad) - NAMED} more", mend, cause=Cause.STORE)


def weights(path: Path, num_seeds: int | None) -> Finding:
    """The stored weights of every version against the fold of the log (Eq. 8, or the run's rule), bit for bit.

    `num_seeds` is what `auto` rates were worked out for; None where nobody can tell.

    Raises:
        StoreError: a row is damaged.
    """
    standing = read_standing(path)
    try:
        settings = recorded_settings(standing.manifest.config)
    except ConfigError as error:
        return warn("weights", f"not compared: {error}", "use the version of star-agents that the run was begun with")
    by_seeds = settings.evolution.rate == "auto" and settings.evolution.rule != "thompson"
    if by_seeds and num_seeds is None:
        seen = "not compared: their rate depends on the number of seeds, and those cannot be read"
        return warn("weights", seen, "put the seeds file back to where seeds.path says")
    pairs = standing.manifest.pairs
    rule = learning.rule_of(settings, num_pairs=len(pairs), num_seeds=num_seeds or 1)
    last = standing.weights.version if standing.weights else 0
    try:
        folded = {each.version: each for each in _folded(path, standing, settings, rule) if each.version <= last}
    except LostFileError as error:
        return warn("weights", f"not compared with the log: {error.lost}", error.lost.mend)
    stored = {each.weights.version: each.weights for each in read_history(path, limit=2**31)}
    for version in sorted(stored.keys() & folded.keys()):
        if (stored[version].p, stored[version].state) != (folded[version].p, folded[version].state):
            told = f"from version {version} on they are not those that the log leads to"
            return fail("weights", told, RESTORE, cause=Cause.STORE)
    if missing := sorted(folded.keys() - stored.keys()):
        return fail("weights", f"version {missing[0]} is missing", RESTORE, cause=Cause.STORE)
    return ok("weights", f"{len(folded)} versions are the fold of {standing.finished} rows of the log, bit for bit")


def _folded(path: Path, standing: Standing, settings: Settings, rule: UpdateRule) -> Iterator[PairWeights]:
    """Every version that the log and the changes of the pool lead to."""
    now = uniform(standing.manifest.pairs)
    changes = list(standing.epochs)
    options = learning.crediting_of(settings)
    for version, rows in groupby(iter_rows(path, order="commit"), lambda row: row.version):
        while changes and changes[0].version < version:
            now = epochs.apply(now, changes.pop(0), rule)
            yield now
        now = rule.update(now, epochs.taught(now, credits((row.graded for row in rows), options)))
        yield now
    for change in changes:
        now = epochs.apply(now, change, rule)
        yield now
