"""Finding a run folder that somebody named."""

from pathlib import Path
from typing import TYPE_CHECKING

from star_agents.core.errors import ConfigError

if TYPE_CHECKING:
    from star_agents.storage.folder import RunFolder


def existing_run(path: Path) -> "RunFolder":
    """The run folder at a path.

    Raises:
        ConfigError: no run was ever started there.
    """
    from star_agents.storage.folder import RunFolder

    folder = RunFolder(path)
    if not folder.is_begun():
        raise ConfigError(f"{path}: holds no run; name the folder that run.dir of the config names")
    return folder
