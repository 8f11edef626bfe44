"""What a run is of: written when it is begun, compared whenever it is gone on with."""

from dataclasses import dataclass

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A run's identity. `config` is its normalised settings as JSON, without secrets, as of the last start.

    `fingerprint` is a digest of what must not change between two starts of a run, and `input_sha256` of
    its seeds. `pairs` is the pool in the order of every stored weight vector; `created` a wall stamp.
    """

    config: str
    fingerprint: str
    input_sha256: str
    pairs: tuple[AgentPair, ...]
    created: str


def check_same_run(begun: Manifest, now: Manifest) -> None:
    """Refuse to go on with a run under settings that would make its log a lie.

    Raises:
        ConfigError: the settings, the seeds or the pairs differ from those the run was begun with.
    """
    problems = []
    if begun.pairs != now.pairs:
        problems.append("pairs: the pool differs from the one this run was begun with")
    if begun.input_sha256 != now.input_sha256:
        problems.append("seeds.path: the file has changed since this run was begun")
    if begun.fingerprint != now.fingerprint:
        problems.append("the settings differ from those this run was begun with")
    if problems:
        raise ConfigError(*(f"{problem}; restore it, or start a new run in another run.dir" for problem in problems))
