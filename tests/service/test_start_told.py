"""Slow starts of model servers are told of; quick ones are not."""

import asyncio
from dataclasses import dataclass

import pytest

from star_agents.core import clock
from star_agents.service.run.start_told import TELL_S, start_told
from star_agents.service.run.together import opened_together
from tests.loops import run_virtual


@dataclass
class Server:
    """A part of a run that takes a while to start."""

    start_s: float
    is_broken: bool = False

    async def starting(self) -> tuple[str, ...]:
        return (f"at {clock.now():g} s",) if clock.now() < self.start_s else ()

    async def __aenter__(self) -> None:
        await asyncio.sleep(self.start_s)
        if self.is_broken:
            raise ValueError("the reason")

    async def __aexit__(self, *_: object) -> None:
        return None


async def started(server: Server) -> tuple[list[str], float]:
    """What was told, and when the start was over."""
    told: list[str] = []
    async with opened_together([server, start_told([server], told.append)]):
        ended_at = clock.now()
        await asyncio.sleep(10 * TELL_S)
    return told, ended_at


def test_a_slow_start_is_told_of_now_and_then() -> None:
    """Every five seconds, until it is up; nothing waits for the telling, and it does not go on."""
    told, ended_at = run_virtual(started(Server(start_s=3 * TELL_S + 1)))
    assert told == ["at 5 s", "at 10 s", "at 15 s"]
    assert ended_at == 3 * TELL_S + 1


def test_a_quick_start_is_not() -> None:
    """It is over before there is anything to tell."""
    assert run_virtual(started(Server(start_s=1.0))) == ([], 1.0)


def test_a_start_that_fails_ends_the_telling() -> None:
    """And its error comes out as it was."""
    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(started(Server(start_s=TELL_S + 1, is_broken=True)))
    assert caught.group_contains(ValueError, match="the reason", depth=1)
