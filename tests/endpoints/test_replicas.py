"""Dealing GPUs out to replicas, and taking turns on them."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.servers.replicas import deal, replica_specs
from star_agents.endpoints.servers.turns import Turns
from star_agents.endpoints.spec import LocalServerSpec
from tests.loops import run_virtual

SPEC = LocalServerSpec(name="smol", model="m", python="py")


@pytest.mark.parametrize(
    ("num_replicas", "gpus", "dealt"),
    [
        (None, [], [("smol", ())]),
        (None, [3], [("smol", (3,))]),
        (1, [0, 1], [("smol", (0, 1))]),
        (2, [], [("smol@0", ()), ("smol@1", ())]),
        (2, [0, 1, 2, 3], [("smol@0", (0, 1)), ("smol@1", (2, 3))]),
        (None, [[0], [1]], [("smol@0", (0,)), ("smol@1", (1,))]),
        (2, [[0, 1], [2]], [("smol@0", (0, 1)), ("smol@1", (2,))]),
    ],
)
def test_gpus_are_dealt_out(
    num_replicas: int | None, gpus: list[int] | list[list[int]], dealt: list[tuple[str, tuple[int, ...]]]
) -> None:
    """One list is split evenly, several are taken as they are; a single server keeps the endpoint's name."""
    specs = replica_specs(SPEC, deal(gpus, num_replicas))
    assert [(spec.name, spec.gpus) for spec in specs] == dealt


@pytest.mark.parametrize(("num_replicas", "gpus"), [(2, [0, 1, 2]), (2, [0]), (3, [[0], [1]])])
def test_gpus_that_cannot_be_dealt_out(num_replicas: int, gpus: list[int] | list[list[int]]) -> None:
    """Three GPUs for two replicas, fewer than replicas, or lists for another number of them."""
    with pytest.raises(ValueError, match="replicas"):
        deal(gpus, num_replicas)


@given(st.lists(st.sets(st.integers(0, 3), max_size=3), max_size=12))
def test_one_start_at_a_time_on_a_device(groups: list[set[int]]) -> None:
    """Starts that share a device never overlap, starts that do not share one do, and all of them end."""
    turns, busy, overlaps = Turns(), Counter[int](), []

    async def start(devices: set[int]) -> None:
        async with turns.of(devices):
            for device in devices or {0}:
                busy[device] += 1
                overlaps.append(busy[device])
            await asyncio.sleep(10.0)
            for device in devices or {0}:
                busy[device] -= 1

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for devices in groups:
                group.create_task(start(devices))
        return asyncio.get_running_loop().time()

    took_s = run_virtual(main())
    assert set(overlaps) <= {1}
    asked = Counter(device for devices in groups for device in devices or {0})
    assert max(asked.values(), default=0) * 10.0 <= took_s <= len(groups) * 10.0
