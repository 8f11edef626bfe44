"""Waiting for the memory of a GPU that another process still holds."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core import clock
from star_agents.endpoints.servers import engines
from star_agents.endpoints.servers.engines import Installation
from star_agents.endpoints.servers.gpu_memory import Memory, nvidia_smi, parsed, shortage, wait_until_free
from star_agents.endpoints.spec import LocalServerSpec
from tests.endpoints.conftest import Run
from tests.loops import run_virtual

TOTAL = 80_000
SMI = '#!/bin/sh\necho "$@" > {seen}\necho "0, 79000, 81559"\necho "1, [N/A], [N/A]"\necho "3, 512, 81559"\n'


class Gpu:
    """A GPU 0 whose memory is freed at some moment."""

    def __init__(self, *, free_at: float) -> None:
        self.free_at = free_at

    async def read(self) -> Mapping[int, Memory]:
        await asyncio.sleep(0.1)
        return {0: Memory(TOTAL if clock.now() >= self.free_at else 3_000, TOTAL)}


@pytest.mark.fault("F-50")
@pytest.mark.parametrize(("free_at", "waited_s"), [(0.0, 0.1), (20.0, 20.0), (1e9, 120.0)])
def test_memory_that_is_held_is_waited_for(free_at: float, waited_s: float) -> None:
    """Until it is free, for a bounded time, and with the reason told meanwhile."""
    told: list[str | None] = []

    async def main() -> float:
        await wait_until_free(Gpu(free_at=free_at).read, (0,), 0.92, bound_s=120.0, tell=told.append)
        return clock.now()

    assert run_virtual(main()) == pytest.approx(waited_s, abs=1.2)
    assert told[-1] is None
    assert set(told[:-1]) <= {"waiting for memory: GPU 0 has 3000 of 73600 MiB free"}
    assert (len(told) > 1) == (free_at > 0)


@pytest.mark.fault("F-50")
def test_what_is_missing() -> None:
    """The first device that lacks something; one that cannot be asked lacks nothing."""
    memories = {0: Memory(79_000, TOTAL), 1: Memory(70_000, TOTAL)}
    assert shortage(memories, (0, 7), 0.92) is None
    assert shortage(memories, (0, 1), 0.92) == "GPU 1 has 70000 of 73600 MiB free"
    assert shortage({}, (0,), 0.92) is None


@given(st.text(alphabet="0123456789, \n[N/A]x-", max_size=200))
def test_any_output_is_read(written: str) -> None:
    """What is no line of three numbers is passed over."""
    assert all(isinstance(index, int) for index in parsed(written))


@pytest.mark.fault("F-50")
def test_the_drivers_tool_is_asked(run: Run, tmp_path: Path) -> None:
    """And where there is none, nothing is known and nothing is waited for."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI.format(seen=tmp_path / "seen"))
    program.chmod(0o700)

    async def main() -> None:
        assert await nvidia_smi(str(program)) == {0: Memory(79_000, 81_559), 3: Memory(512, 81_559)}
        assert await nvidia_smi(str(tmp_path / "none")) == {}

    run(main())
    asked = (tmp_path / "seen").read_text()
    assert asked == "--query-gpu=index,memory.free,memory.total --format=csv,noheader,nounits\n"


@pytest.mark.fault("F-50")
def test_what_a_server_claims() -> None:
    """A share of each of its GPUs for vLLM, by its own flag; nothing for a CPU or for transformers."""
    spec = LocalServerSpec(name="a", model="m", python="py", gpus=(2, 3))
    assert engines.claimed_gpus(spec, Installation("vllm")) == ((2, 3), 0.92)
    assert engines.claimed_gpus(replace(spec, gpus=()), Installation("vllm"))[0] == (0,)
    shown = replace(spec, gpus=(), environ={"CUDA_VISIBLE_DEVICES": "5,6"})
    assert engines.claimed_gpus(shown, Installation("vllm"))[0] == (5,)
    named = replace(spec, gpus=(), environ={"CUDA_VISIBLE_DEVICES": "GPU-4f5a"})
    assert engines.claimed_gpus(named, Installation("vllm"))[0] == ()
    assert engines.claimed_gpus(spec, Installation("vllm", is_cpu=True))[0] == ()
    assert engines.claimed_gpus(spec, Installation("transformers"))[0] == ()
    for args in (("--gpu-memory-utilization", "0.4"), ("--gpu-memory-utilization=0.4",)):
        assert engines.claimed_gpus(replace(spec, args=args), Installation("vllm"))[1] == 0.4
