"""Real engines started by us: they answer, they sample as asked, and no process of theirs outlives its run.

Needs the folder of SmolLM2 (`star-agents models pull smollm2-135m`); vLLM is taken from the interpreter that
STAR_AGENTS_VLLM_PYTHON names.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from star_agents.core import clock
from star_agents.core.calls import (
    CallKey,
    Completion,
    Message,
    Purpose,
    Request,
    SamplingParams,
)
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.servers import orphans
from star_agents.endpoints.servers.local import LocalServer
from star_agents.endpoints.servers.supervisor import ServerState
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.loops import run_real

MODEL = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "star-agents" / "models" / "smollm2-135m"
VLLM_PYTHON = os.environ.get("STAR_AGENTS_VLLM_PYTHON", "")
START_S = 240.0

log = logging.getLogger(__name__)

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
from star_agents.endpoints.servers.local import LocalServer
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
@pytest.mark.fault("F-49")
def test_nothing_outlives_a_run_that_is_killed(spec: LocalServerSpec, tmp_path: Path) -> None:
    """SIGKILL for the run; the server and the engine's own processes are gone within 30 s, with no next start."""
    command = [sys.executable, "-c", RUNNER, spec.engine, spec.python, spec.model, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        servers = orphans.find(tmp_path)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert len(servers) >= (3 if spec.engine == "vllm" else 1)
    began_at = time.monotonic()
    while any(server.is_alive() for server in servers):
        assert time.monotonic() - began_at < 30.0
        time.sleep(0.05)
    log.info("gone after %.1f s", time.monotonic() - began_at)
    assert orphans.find(tmp_path) == set()


@dataclass(slots=True)
class Calls:
    """A fleet's calls, and the gate that a supervisor sees of them."""

    fleet: Fleet
    in_flight: int = 0
    last_answer_at: float | None = None
    is_held: bool = False

    async def ask(self, request: Request) -> Completion:
        """Ask, counted, once the gate is open."""
        while self.is_held:  # noqa: ASYNC110  # a test's gate
            await asyncio.sleep(0.1)
        self.in_flight += 1
        try:
            completion = await self.fleet.complete(request)
        finally:
            self.in_flight -= 1
        self.last_answer_at = clock.now()
        return completion

    def hold(self) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False


async def engine_core(run_dir: Path) -> int:
    """The process that vLLM computes in."""

    def look() -> int:
        found = {process.pid for process in orphans.find(run_dir)}
        titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
        return next(pid for pid, title in titles.items() if b"EngineCore" in title)

    return await asyncio.to_thread(look)


async def restarted(server: LocalServer, restarts: int) -> tuple[float, float]:
    """Wait for that restart; seconds until it was begun, and seconds it took."""
    began_at = clock.now()
    while server.status().restarts < restarts:  # noqa: ASYNC110  # a status is only looked at
        await asyncio.sleep(0.1)
    found_at = clock.now()
    while server.status().state is not ServerState.UP:  # noqa: ASYNC110  # a status is only looked at
        await asyncio.sleep(0.1)
    return found_at - began_at, clock.now() - found_at


@pytest.mark.real_vllm
@pytest.mark.skipif(not VLLM_PYTHON, reason="STAR_AGENTS_VLLM_PYTHON names no interpreter")
@pytest.mark.fault("F-47", "F-48", "F-52")
def test_vllm_is_kept_up(tmp_path: Path) -> None:
    """Its engine is killed, then stopped, then it is restarted on request: no call fails, and no process is left."""

    async def main() -> None:
        async with LocalServer(VLLM, tmp_path) as server:
            spec = EndpointSpec(name="smol", base_urls=(), model="", concurrency=8, retry_truncated=False)
            async with Fleet([server.endpoint(spec)], 7) as fleet, asyncio.TaskGroup() as group:
                calls = Calls(fleet)
                supervising = group.create_task(server.supervise(calls))
                await calls.ask(asked(0))
                for name, number in (("crash", signal.SIGKILL), ("hang", signal.SIGSTOP)):
                    os.kill(await engine_core(tmp_path), number)
                    waiting = [group.create_task(calls.ask(asked(i))) for i in range(8)]
                    found_s, start_s = await restarted(server, server.status().restarts + 1)
                    log.info("%s: found after %.1f s, up %.1f s later", name, found_s, start_s)
                    assert found_s < 90.0
                    assert all([(await task).text for task in waiting])
                waiting = [group.create_task(calls.ask(asked(i))) for i in range(8)]
                await asyncio.sleep(0.2)
                began_at = clock.now()
                await server.restart()
                log.info("restarted on request in %.1f s", clock.now() - began_at)
                assert all(task.done() for task in waiting)
                supervising.cancel()
        assert await asyncio.to_thread(orphans.find, tmp_path) == set()

    run_real(main())
