"""A vLLM server's own figures, read from its `/metrics` about once a second.

Law: figures that cannot be had are not made up: then nothing is observed, and the controller keeps what it knows.

Names as vLLM's v1 engine exports them (`vllm/v1/metrics/loggers.py`); a server with several engines (data
parallel) exports each under a label of its own, and the parts are added up.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families

from star_agents.core.errors import CallError
from star_agents.endpoints.formats.wire import RawReply
from star_agents.traffic.knee import Gauges

LOOK_S = 1.0
"""How often the figures are read."""
RARELY_S = 15.0
"""How often a server that showed none is asked again: it may have been starting, or be no vLLM at all."""

_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_USAGE = "vllm:kv_cache_usage_perc"
_PREEMPTIONS = "vllm:num_preemptions"
_GENERATED = "vllm:generation_tokens"
_NAMES = (_RUNNING, _WAITING, _KV_USAGE, _PREEMPTIONS, _GENERATED)


class Metered(Protocol):
    """A replica that can be asked for its metrics."""

    async def read_metrics(self) -> RawReply:
        """Get the page, whatever its status."""
        ...


def parse_gauges(page: str) -> Gauges | None:
    """The figures on a page in Prometheus' text format, or None where it is not a vLLM's."""
    lines = [line for line in page.splitlines() if line.startswith(_NAMES)]
    found: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                found.setdefault(sample.name.removesuffix("_total"), []).append(sample.value)
        if not {_RUNNING, _WAITING, _GENERATED} <= found.keys():
            return None
        return Gauges(
            running=int(sum(found[_RUNNING])),
            waiting=int(sum(found[_WAITING])),
            kv_usage=max(found.get(_KV_USAGE, [0.0])),
            preemptions=int(sum(found.get(_PREEMPTIONS, []))),
            generation_tokens=int(sum(found[_GENERATED])),
        )
    except (ValueError, OverflowError):  # not the format, or no number in it
        return None


def together(parts: Sequence[Gauges]) -> Gauges:
    """Replicas as if they were one server; the fullest cache counts."""
    return Gauges(
        running=sum(part.running for part in parts),
        waiting=sum(part.waiting for part in parts),
        kv_usage=max(part.kv_usage for part in parts),
        preemptions=sum(part.preemptions for part in parts),
        generation_tokens=sum(part.generation_tokens for part in parts),
    )


async def watch(replicas: Sequence[Metered], observe: Callable[[Gauges], None]) -> None:
    """Read the figures of all replicas again and again and hand them on; ends only by being cancelled."""
    while True:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(read(replica)) for replica in replicas]
        parts = [gauges for task in asked if (gauges := task.result()) is not None]
        if parts:
            observe(together(parts))
        await asyncio.sleep(LOOK_S if parts else RARELY_S)


async def read(replica: Metered) -> Gauges | None:
    """The figures of one replica now, or None where it has none to show."""
    try:
        raw = await replica.read_metrics()
    except CallError:
        return None
    return parse_gauges(raw.body.decode("utf-8", "replace")) if raw.status == 200 else None  # noqa: PLR2004
