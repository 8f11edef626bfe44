"""What the last start of a run came to, left in its folder for whoever comes when nobody answers any more.

Law: while the file is there no start has begun since; a start that was killed leaves none.
"""

from pathlib import Path

import orjson

from star_agents.service.run.address import write_private
from star_agents.service.view.status import Ending

ENDED_FILE = "ended.json"


def write_ended(run_dir: Path, ending: Ending) -> None:
    """Leave it. Blocks.

    Raises:
        OSError: the run folder cannot be written.
    """
    write_private(run_dir / ENDED_FILE, orjson.dumps({"ending": ending}))


def read_ended(run_dir: Path) -> Ending | None:
    """How the last start ended, or None where one is going on or was killed. Blocks."""
    try:
        return Ending(orjson.loads((run_dir / ENDED_FILE).read_bytes())["ending"])
    except (OSError, ValueError, KeyError, TypeError):  # JSONDecodeError is a ValueError
        return None


def forget_ended(run_dir: Path) -> None:
    """A start begins. Blocks."""
    (run_dir / ENDED_FILE).unlink(missing_ok=True)
