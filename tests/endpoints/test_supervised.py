"""Real processes that crash, hang and come back, while calls go on."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from star_agents.core import clock
from star_agents.core.errors import ModelServerError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.servers import orphans
from star_agents.endpoints.servers.hang import HangOptions
from star_agents.endpoints.servers.local import LocalServer
from star_agents.endpoints.servers.replicas import LocalReplicas, replica_specs
from star_agents.endpoints.servers.restarts import RestartOptions
from star_agents.endpoints.servers.supervisor import ServerState, Supervision
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.endpoints.conftest import Run
from tests.endpoints.simulated import request
from tests.endpoints.test_local import found, spec
from tests.endpoints.waiting import until
from tests.loops import run_real

__all__ = ["spec"]

QUICK = Supervision(
    start=RestartOptions(max_crashes=2, backoff_s=(0.1, 0.2)),
    restarts=RestartOptions(max_crashes=3, backoff_s=(0.1, 0.2)),
    hang=HangOptions(silence_s=(0.5, 0.5), canary_s=0.5),
    look_s=0.1,
    tend_s=0.1,
)
ENDPOINT = EndpointSpec(name="smol", base_urls=(), model="", concurrency=4)


@dataclass(slots=True)
class OpenGate:
    """A replica with one call that is always out."""

    in_flight: int = 1
    last_answer_at: float | None = None

    def hold(self) -> None:
        pass

    def release(self) -> None:
        self.in_flight = 0


@asynccontextmanager
async def supervised(server: LocalServer, gate: OpenGate | None = None) -> AsyncIterator[LocalServer]:
    """The server, kept up while the block runs."""
    async with server, asyncio.TaskGroup() as group:
        running = group.create_task(server.supervise(gate))
        yield server
        running.cancel()


async def reached(server: LocalServer, state: ServerState, *, restarts: int) -> None:
    """Wait until the server is in that state, restarted so often."""
    async with asyncio.timeout(20.0):
        await until(lambda: (server.status().state, server.status().restarts) == (state, restarts))


async def engine_pid(server: LocalServer, run_dir: Path) -> int:
    """The process behind the one that listens."""
    (pid,) = {p.pid for p in await asyncio.to_thread(orphans.find, run_dir)} - {server.status().pid}
    return pid


@pytest.mark.fault("F-47")
def test_a_killed_server_comes_back_in_its_place(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """The same port, the same key, another process; calls that were waiting are answered, and nobody fails."""

    async def main() -> None:
        async with supervised(LocalServer(spec, tmp_path, supervision=QUICK)) as server:
            before = server.status()
            async with Fleet([server.endpoint(ENDPOINT)], 7) as fleet:
                assert before.pid is not None
                os.kill(before.pid, signal.SIGKILL)
                assert (await fleet.complete(request(1, "smol"))).text
            await reached(server, ServerState.UP, restarts=1)
            assert server.status().pid != before.pid
            assert await found(tmp_path) == 2
        assert await found(tmp_path) == 0

    run(main())


@pytest.mark.fault("F-47")
def test_a_server_whose_engine_dies_comes_back(spec: LocalServerSpec, tmp_path: Path) -> None:
    """500 for everybody at first, then the process ends by itself, then it is started anew."""

    async def main() -> None:
        async with supervised(LocalServer(spec, tmp_path, supervision=QUICK)) as server:
            os.kill(await engine_pid(server, tmp_path), signal.SIGKILL)
            await reached(server, ServerState.UP, restarts=1)  # how long a call alone would try is no part of this
            async with Fleet([server.endpoint(ENDPOINT)], 7) as fleet:
                assert (await fleet.complete(request(1, "smol"))).text
            assert server.status().restarts == 1

    run_real(main())


@pytest.mark.fault("F-48")
def test_a_stopped_engine_is_found_and_replaced(run: Run, spec: LocalServerSpec, tmp_path: Path) -> None:
    """`/health` stays at 200 meanwhile; every process of the old server is gone, the stopped one too."""

    async def main() -> None:
        gate = OpenGate()
        async with supervised(LocalServer(spec, tmp_path, supervision=QUICK), gate) as server:
            old = await asyncio.to_thread(orphans.find, tmp_path)
            os.kill(await engine_pid(server, tmp_path), signal.SIGSTOP)
            assert await health(server) == b"HTTP/1.1 200"
            began_at = clock.now()
            await reached(server, ServerState.UP, restarts=1)
            assert clock.now() - began_at < 10.0
            assert not await asyncio.to_thread(lambda: [process for process in old if process.is_alive()])

    run(main())


async def health(server: LocalServer) -> bytes:
    """What `/health` says."""
    port = int(server.base_url.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    said = await reader.read(12)
    writer.close()
    await writer.wait_closed()
    return said


@pytest.mark.fault("F-46", "F-47")
def test_a_port_that_is_taken_meanwhile(spec: LocalServerSpec, tmp_path: Path) -> None:
    """Only somebody who forces it can have it; the server is tried again until it is free."""
    patient = replace(QUICK, restarts=RestartOptions(max_crashes=100, backoff_s=(0.1, 0.2)))

    async def main() -> None:
        async with supervised(LocalServer(spec, tmp_path, supervision=patient)) as server:
            url, pid = server.base_url, server.status().pid
            assert pid is not None
            os.kill(await engine_pid(server, tmp_path), signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            thief = await taking(int(url.rpartition(":")[2].partition("/")[0]))
            with thief:
                await tried_again(tmp_path)
            await reached(server, ServerState.UP, restarts=1)
            assert server.base_url == url

    run_real(main())


async def taking(port: int) -> socket.socket:
    """Listen on that port as soon as its server has gone."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            await asyncio.sleep(0.0)


async def tried_again(run_dir: Path) -> None:
    """Wait until a start has died of the port."""
    log = run_dir / "logs" / "server-smol.log"
    async with asyncio.timeout(20.0):
        await until(lambda: b"ddress already in use" in log.read_bytes())


@pytest.mark.fault("F-47")
def test_a_server_that_keeps_crashing_is_given_up(spec: LocalServerSpec, tmp_path: Path) -> None:
    """One error with its log and the last lines of it; no process is left."""

    async def crash_and_crash() -> None:
        async with supervised(LocalServer(spec, tmp_path, supervision=QUICK)) as server:
            for restarts in range(3):
                await reached(server, ServerState.UP, restarts=restarts)
                server.kill()
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await crash_and_crash()
        assert caught.group_contains(ModelServerError, match=r"killed; .* the last of .*/logs/server-smol.log")
        assert await found(tmp_path) == 0

    run_real(main())


@pytest.mark.fault("F-47", "F-52")
def test_replicas_of_one_endpoint(spec: LocalServerSpec, tmp_path: Path) -> None:
    """Two servers, two URLs, one key; one may die while the other answers, and both are restarted in turn."""

    async def main() -> None:
        specs = replica_specs(spec, [(0,), (1,)])
        async with LocalReplicas("smol", specs, tmp_path, supervision=QUICK) as replicas:
            endpoint = replicas.endpoint(ENDPOINT)
            assert len(set(endpoint.base_urls)) == 2
            assert [status.name for status in replicas.status()] == ["smol@0", "smol@1"]
            async with asyncio.TaskGroup() as group, Fleet([endpoint], 7) as fleet:
                running = group.create_task(replicas.supervise())
                replicas.servers[0].kill()
                for number in range(8):
                    assert (await fleet.complete(request(number, "smol"))).text
                await reached(replicas.servers[0], ServerState.UP, restarts=1)
                await replicas.rolling_restart()
                assert [status.restarts for status in replicas.status()] == [2, 1]
                running.cancel()
        assert await found(tmp_path) == 0

    run_real(main())


@pytest.mark.fault("F-47")
def test_an_endpoint_lives_as_long_as_one_replica(spec: LocalServerSpec, tmp_path: Path) -> None:
    """The first that is given up is told in the log, the last one ends the run."""
    hasty = replace(QUICK, restarts=RestartOptions(max_crashes=1))

    async def kill_both() -> None:
        specs = replica_specs(spec, [(), ()])
        async with (
            LocalReplicas("smol", specs, tmp_path, supervision=hasty) as replicas,
            asyncio.TaskGroup() as group,
        ):
            running = group.create_task(replicas.supervise())
            first, second = replicas.servers
            first.kill()
            await reached(first, ServerState.FAILED, restarts=1)
            assert not running.done()
            assert second.status().state is ServerState.UP
            second.kill()

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await kill_both()
        assert caught.group_contains(ModelServerError)

    run_real(main())


@pytest.mark.fault("F-46")
def test_one_replica_that_cannot_start_ends_the_others(spec: LocalServerSpec, tmp_path: Path) -> None:
    """Nothing is left of those that could."""

    async def main() -> None:
        good, bad = replica_specs(spec, [(0,), (1,)])
        with pytest.raises(ExceptionGroup):
            async with LocalReplicas("smol", [good, replace(bad, args=("--no-such-flag",))], tmp_path):
                pass
        assert await found(tmp_path) == 0

    run_real(main())
