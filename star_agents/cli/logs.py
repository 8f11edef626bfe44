"""Where log lines go: a rotating file in the run folder always, and stderr where no live screen is drawn."""

import logging
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from star_agents.core.secret import Secret

MAX_BYTES = 16_000_000
KEPT_FILES = 3

LogStyle = Literal["text", "json"]


def start_logging(
    folder: Path, *, to_stderr: bool, style: LogStyle = "text", secrets: Sequence[Secret] = (), debug: bool = False
) -> None:
    """Configure the package's logger; called once, by a command. `secrets` are blotted out of every line.

    Raises:
        OSError: the log folder cannot be made.
    """
    from star_agents.core.secret import Mask
    from star_agents.service.life.log_lines import JsonFormatter, TextFormatter, Throttle

    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / ("star-agents.jsonl" if style == "json" else "star-agents.log")
    handlers: list[logging.Handler] = [
        RotatingFileHandler(file, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    package = logging.getLogger("star_agents")
    package.setLevel(logging.DEBUG if debug else logging.INFO)
    package.propagate = False
    formatter = (JsonFormatter if style == "json" else TextFormatter)(Mask(secrets))
    throttle = Throttle()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(throttle)
        package.addHandler(handler)
