"""Real engines started by us: they answer, they sample as asked, and no process of theirs outlives its run.

Needs the folder of SmolLM2 (`star-agents models pull smollm2-135m`); vLLM is taken from the interpreter that
STAR_AGENTS_VLLM_PYTHON names.
"""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.calls import (
    CallKey,
    Completion,
    Message,
    Purpose,
    Request,
    SamplingParams,
)
from star_agents.endpoints import orphans
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.local import LocalServer, sweep
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.loops import run_real

MODEL = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "star-agents" / "models" / "smollm2-135m"
VLLM_PYTHON = os.environ.get("STAR_AGENTS_VLLM_PYTHON", "")
START_S = 240.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not MODEL.is_dir(), reason="star-agents models pull smollm2-135m"),
]

TRANSFORMERS = LocalServerSpec(
    name="smol", model=str(MODEL), engine="transformers", python=sys.executable, environ=os.environ, start_s=START_S
)
VLLM = replace(TRANSFORMERS, engine="vllm", python=VLLM_PYTHON)

engine = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(TRANSFORMERS, id="transformers"),
        pytest.param(
            VLLM,
            id="vllm",
            marks=[
                pytest.mark.real_vllm,
                pytest.mark.skipif(not VLLM_PYTHON, reason="STAR_AGENTS_VLLM_PYTHON names no interpreter"),
            ],
        ),
    ],
)


def asked(number: int, *, temperature: float = 0.0, seed: int = 5, text: str = "Name three colours.") -> Request:
    params = SamplingParams(max_tokens=16, temperature=temperature)
    return Request(CallKey(number, Purpose.RESPOND, 0), "smol", (Message("user", text),), params, seed)


async def ask_all(fleet: Fleet, requests: list[Request]) -> list[Completion]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fleet.complete(each)) for each in requests]
    return [task.result() for task in tasks]


@engine
def test_it_answers_as_asked_and_leaves_nothing(spec: LocalServerSpec, tmp_path: Path) -> None:
    """Greedy answers repeat, warm ones follow their seed and differ, long seeded prompts at once kill nothing."""

    async def main() -> None:
        async with LocalServer(spec, tmp_path) as server:
            concurrency, count = (1, 3) if server.engine == "transformers" else (16, 24)
            endpoint = EndpointSpec(name="smol", base_urls=(), model="", concurrency=concurrency, retry_truncated=False)
            async with Fleet([server.endpoint(endpoint)], 7) as fleet:
                await fleet.preflight()
                greedy = await ask_all(fleet, [asked(0), asked(1)])
                assert greedy[0].text == greedy[1].text
                assert greedy[0].model == "smollm2-135m"
                assert not greedy[0].usage.is_estimated
                warm = await ask_all(fleet, [asked(number, temperature=1.0, seed=number % 4) for number in range(8)])
                assert len({completion.text for completion in warm}) > 2
                assert warm[0].text == warm[4].text or server.engine == "vllm"  # batches of vLLM round differently
                long = [asked(number, temperature=0.7, text=f"{number} is a number. " * 60) for number in range(count)]
                assert len(await ask_all(fleet, long)) == count
        assert await asyncio.to_thread(orphans.find, tmp_path) == set()

    run_real(main())


RUNNER = """
import asyncio, os, sys
from pathlib import Path
from star_agents.endpoints.local import LocalServer
from star_agents.endpoints.spec import LocalServerSpec

async def main():
    _, engine, python, model, run_dir = sys.argv
    spec = LocalServerSpec(name="smol", model=model, engine=engine, python=python, environ=os.environ)
    async with LocalServer(spec, Path(run_dir)):
        print("up", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@engine
def test_f49_what_a_killed_run_left_is_swept(spec: LocalServerSpec, tmp_path: Path) -> None:
    """F-49: SIGKILL for the run; its server lives on with the engine's own processes; the next start ends them all."""
    command = [sys.executable, "-c", RUNNER, spec.engine, spec.python, spec.model, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    left = orphans.find(tmp_path)
    assert len(left) >= (3 if spec.engine == "vllm" else 1)
    assert run_real(sweep(tmp_path)) == len(left)
    assert not any(process.is_alive() for process in left)
