"""Where log lines go: a rotating file in the run folder always, and stderr where no live screen is drawn."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MAX_BYTES = 16_000_000
KEPT_FILES = 3


def start_logging(folder: Path, *, to_stderr: bool) -> None:
    """Configure the package's logger; called once, by a command.

    Raises:
        OSError: the log folder cannot be made.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(folder / "star-agents.log", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    package = logging.getLogger("star_agents")
    package.setLevel(logging.INFO)
    package.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT))
        package.addHandler(handler)
