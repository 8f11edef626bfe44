"""Two clocks: the loop's for every duration and deadline, the wall's for stamps on records.

Nothing else in the package asks what time it is, so a test that swaps the event loop for one on
virtual time has swapped all of it.
"""

import asyncio
import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds on the running event loop's monotonic clock.

    Raises:
        RuntimeError: no event loop is running.
    """
    return asyncio.get_running_loop().time()


def wall() -> str:
    """The wall time as an ISO 8601 stamp in UTC, to the millisecond; for people, never for arithmetic."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def epoch_ns() -> int:
    """Nanoseconds of wall time since 1970: where a stamp is wanted that programs read. It may go back."""
    return time.time_ns()
