"""Whether the GPUs that a config counts on are there, for the driver and for torch.

Law: torch is asked in a process of its own: a driver in trouble hangs whoever asks it, and may never let go.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Mapping

import orjson

from star_agents.core.surroundings import handed_on
from star_agents.endpoints.servers.gpu_memory import Memory, nvidia_smi
from star_agents.service.config.settings import LocalEndpoint, Settings
from star_agents.service.doctor.checks import Finding, fail, ok, warn

DEADLINE_S = 90.0
"""Importing torch from a slow disk takes long."""

_ASK = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.device_count()]))"


async def gpus(settings: Settings | None) -> list[Finding]:
    """What there is, and what of the config's wishes is not."""
    async with asyncio.TaskGroup() as group:
        driver = group.create_task(nvidia_smi(), name="nvidia-smi")
        torch = group.create_task(_torch(), name="torch")
    return list(judged(driver.result(), torch.result(), settings))


async def _torch() -> tuple[str, str | None, int] | None:
    """Torch's version, the CUDA it was built for, and the devices it sees; None where it cannot be imported."""
    command = (sys.executable, "-P", "-c", _ASK)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=handed_on(os.environ, "PYTHON")
    )
    try:
        written, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        return None
    release, cuda, count = orjson.loads(written)
    return release, cuda, count


def judged(
    driver: Mapping[int, Memory], torch: tuple[str, str | None, int] | None, settings: Settings | None
) -> Iterator[Finding]:
    """What the driver and torch say, beside what the config wants."""
    if torch is None:
        yield fail("gpu", "torch cannot be imported", "pip install --force-reinstall torch")
        return
    release, cuda, seen = torch
    for index in sorted(_wanted(settings) - set(range(max(seen, len(driver))))):
        yield fail("gpu", f"the config names GPU {index}, and there are {max(seen, len(driver))}", "name one that is")
    if driver and not seen:
        built = f"for CUDA {cuda}" if cuda else "for the CPU alone"
        mend = "install a build of torch for the driver's CUDA; the scorers run on the CPU until then"
        yield warn("gpu", f"{len(driver)} GPUs, and torch {release}, built {built}, sees none of them", mend)
    elif driver:
        free = ", ".join(f"{index}: {memory.free} of {memory.total} MiB free" for index, memory in driver.items())
        yield ok("gpu", f"torch {release}, {free}")
    else:
        yield ok("gpu", f"none: the scorers run on the CPU (torch {release})")


def _wanted(settings: Settings | None) -> set[int]:
    """The GPUs that a config names by number."""
    if settings is None:
        return set()
    scoring = settings.scoring
    devices = ",".join(filter(None, (scoring.device, scoring.large_device, settings.memory.device))).split(",")
    named = {int(device.strip().removeprefix("cuda:")) for device in devices if device.strip().startswith("cuda:")}
    if "cuda" in (device.strip() for device in devices):
        named.add(0)
    for section in settings.endpoints.values():
        for gpu in section.gpus if isinstance(section, LocalEndpoint) else ():
            named |= set(gpu) if isinstance(gpu, list) else {gpu}
    return named
