import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from star_agents.service.run.together import opened_together
from tests.loops import run_virtual


def test_parts_open_and_close_side_by_side() -> None:
    """Three parts that take 5 s each to open and 2 s to close take 7 s together, and keep their order."""
    story: list[str] = []

    @asynccontextmanager
    async def part(name: str) -> AsyncIterator[str]:
        async with asyncio.TaskGroup():  # a part that insists on one task
            await asyncio.sleep(5)
            yield name
            await asyncio.sleep(2)
            story.append(f"{name} closed")

    async def main() -> float:
        async with opened_together([part(name) for name in "abc"]) as values:
            assert values == ["a", "b", "c"]
            assert asyncio.get_running_loop().time() == 5
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 7
    assert sorted(story) == ["a closed", "b closed", "c closed"]


def test_a_part_that_fails_closes_the_others() -> None:
    """The error comes out, and what was opening or open is closed."""
    closed: list[str] = []

    @asynccontextmanager
    async def good() -> AsyncIterator[None]:
        try:
            yield
        finally:
            closed.append("good")

    @asynccontextmanager
    async def bad() -> AsyncIterator[None]:
        await asyncio.sleep(1)
        raise OSError("no GPU")
        yield

    async def main() -> None:
        async with opened_together([good(), bad()]):
            pytest.fail("never all open")

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    assert caught.group_contains(OSError, match="no GPU")
    assert closed == ["good"]
