"""Libraries that do not stand each other are loaded in the order in which they do."""

import subprocess
import sys

SCRIPT = """
import star_agents.policy.memory
import pyarrow as pa
from datetime import UTC, datetime
print(pa.table({"at": [datetime(2026, 1, 1, tzinfo=UTC)]}).to_pylist()[0]["at"].year)
"""


def test_a_time_with_a_zone_is_read_beside_the_memory_bank() -> None:
    """Usearch 2.26 loaded before pyarrow 26 made this a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "2026"), done.stderr
