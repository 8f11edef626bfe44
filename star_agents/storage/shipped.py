"""Data that comes with the package, by name."""

from importlib.resources import files
from pathlib import Path

from star_agents.core.errors import SeedError

SHIPPED = {"self-instruct-24": "self_instruct_24.jsonl"}
"""Names and files; sources and licences are in `data/README.md`."""


def shipped(name: str) -> Path:
    """The path of a shipped data set.

    Raises:
        SeedError: there is none of that name.
    """
    if name not in SHIPPED:
        raise SeedError(f"shipped:{name}: no such data set; there is {', '.join(sorted(SHIPPED))}")
    return Path(str(files("star_agents.storage") / "data" / SHIPPED[name]))
