"""Waiting until a GPU has room for the server that is to start on it.

A process that was killed gives its memory back some seconds after it has gone, and a neighbour may hold it for
longer; vLLM, which claims a fixed share of the whole, would die of that. Law: the wait is bounded and says what it
waits for; when the bound has passed the server is started all the same, for it knows best what it needs.
"""

import asyncio
import logging
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from star_agents.core.surroundings import handed_on

LOOK_S = 1.0
"""Between two looks."""
QUERY_S = 10.0
"""Deadline of one; a driver in trouble may never answer."""
QUERY = ("--query-gpu=index,memory.free,memory.total", "--format=csv,noheader,nounits")
FIELDS = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one GPU, in MiB."""

    free: int
    total: int


ReadMemory = Callable[[], Awaitable[Mapping[int, Memory]]]
"""Memory by the index of the GPU; nothing where that cannot be told."""


async def nvidia_smi(program: str = "nvidia-smi") -> Mapping[int, Memory]:
    """Ask the driver's own tool, which is there wherever the driver is: no library is needed for it."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, *QUERY, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=handed_on(os.environ)
        )
    except OSError:
        return {}
    try:
        async with asyncio.timeout(QUERY_S):
            written, _ = await process.communicate()
    except TimeoutError:
        log.warning("%s did not answer within %g s", program, QUERY_S)
        return {}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return parsed(written.decode("utf-8", "replace"))


def parsed(written: str) -> dict[int, Memory]:
    """Lines of `index, free, total`; one that is something else (`[N/A]` on some boards) is passed over."""
    memories = {}
    for line in written.splitlines():
        fields = line.split(",")
        with suppress(ValueError):
            if len(fields) == FIELDS:
                index, free, total = map(int, fields)
                memories[index] = Memory(free, total)
    return memories


def shortage(memories: Mapping[int, Memory], devices: Iterable[int], share: float) -> str | None:
    """What is missing for a server that wants this share of each device, in words; None where nothing is."""
    for device in devices:
        memory = memories.get(device)
        if memory is not None and memory.free < share * memory.total:
            return f"GPU {device} has {memory.free} of {share * memory.total:.0f} MiB free"
    return None


async def wait_until_free(
    read: ReadMemory, devices: tuple[int, ...], share: float, *, bound_s: float, tell: Callable[[str | None], None]
) -> None:
    """Wait for at most `bound_s`; `tell` is told what is being waited for, and None when it is over."""
    try:
        async with asyncio.timeout(bound_s):
            while devices and (missing := shortage(await read(), devices, share)):
                tell(f"waiting for memory: {missing}")
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        log.warning("a GPU did not become free within %g s; starting all the same", bound_s)
    finally:
        tell(None)
