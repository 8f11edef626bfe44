"""Waiting for what nobody tells of."""

import asyncio
from collections.abc import Callable


async def until(is_so: Callable[[], bool], *, every_s: float = 0.01) -> None:
    """Look again and again until it is so; the test's own deadline is the end of patience."""
    while not is_so():  # noqa: ASYNC110  # a status is only looked at
        await asyncio.sleep(every_s)
