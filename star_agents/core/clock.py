"""Two clocks: the loop's for every duration and deadline, the wall's for stamps on records.

Nothing else in the package asks what time it is, so a test that swaps the event loop for one on
virtual time has swapped all of it.
"""

import asyncio
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
