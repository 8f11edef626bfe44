"""What is done about a server that crashes, hangs or is to be started anew: decisions and order, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from star_agents.core import clock
from star_agents.core.errors import ModelServerError
from star_agents.endpoints.servers.causes import Cause
from star_agents.endpoints.servers.hang import HangOptions
from star_agents.endpoints.servers.restarts import RestartOptions
from star_agents.endpoints.servers.supervisor import ServerState, Supervision, Supervisor
from tests.endpoints.waiting import until
from tests.loops import run_virtual

LOAD_S = 50.0
CRASH = Cause("memory ran out: CUDA out of memory")
BAD_FLAG = Cause("it does not take one of its arguments", may_pass=False)


@dataclass(slots=True)
class FakeServer:
    """Loads for `LOAD_S`; `causes` say how its starts go, one after another, then all go well."""

    name: str = "smol"
    causes: list[Cause] = field(default_factory=list)
    is_stopped: bool = False
    """Answers no canary, though it runs."""
    said: list[tuple[float, str]] = field(default_factory=list)
    end: asyncio.Future[Cause] | None = None

    async def launch(self) -> Cause | None:
        self.note("launch")
        await asyncio.sleep(LOAD_S)
        self.is_stopped = False
        self.end = asyncio.get_running_loop().create_future()
        return self.causes.pop(0) if self.causes else None

    async def halt(self, *, gently: bool) -> None:
        self.note("ask" if gently else "kill")

    async def ended(self) -> Cause:
        assert self.end is not None
        return await asyncio.shield(self.end)

    async def lives(self, deadline_s: float) -> bool:
        self.note("canary")
        await asyncio.sleep(deadline_s if self.is_stopped else 0.1)
        return not self.is_stopped

    async def tend(self) -> None:
        pass

    async def error(self, cause: Cause) -> ModelServerError:
        return ModelServerError(f"model server smol: {cause.line}; the last of its log")

    def crash(self) -> None:
        assert self.end is not None
        self.end.set_result(CRASH)

    def note(self, what: str) -> None:
        self.said.append((clock.now(), what))

    @property
    def words(self) -> list[str]:
        return [what for _, what in self.said]


@dataclass(slots=True)
class FakeGate:
    """A replica that notes when it is held into the same list as its server."""

    server: FakeServer
    in_flight: int = 0
    last_answer_at: float | None = None

    def hold(self) -> None:
        self.server.note("hold")

    def release(self) -> None:
        self.server.note("release")


Scene = Callable[[Supervisor, FakeServer, FakeGate], Awaitable[None]]


def play(scene: Scene, *, options: Supervision | None = None) -> FakeServer:
    """Start a server, run its supervisor beside the scene, and return what was done."""
    server = FakeServer()
    gate = FakeGate(server)

    async def main() -> None:
        supervisor = Supervisor(server, options or Supervision())
        await supervisor.start()
        server.said.clear()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(supervisor.run(gate))
            await asyncio.sleep(1.0)
            await scene(supervisor, server, gate)
            running.cancel()

    run_virtual(main())
    return server


async def up(supervisor: Supervisor) -> None:
    """Wait until it is up."""
    await until(lambda: supervisor.state is ServerState.UP, every_s=1.0)


@pytest.mark.fault("F-47")
def test_a_crash_is_followed_by_a_start() -> None:
    """Calls are held back first, every process ended, and they flow again only when it answers."""

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        server.crash()
        await asyncio.sleep(0.0)
        await asyncio.sleep(2.0)
        assert supervisor.state is ServerState.RESTARTING
        assert supervisor.reason == CRASH.line
        await up(supervisor)
        assert supervisor.restarts == 1

    server = play(scene)
    assert server.words == ["hold", "kill", "launch", "release"]


@pytest.mark.fault("F-47")
def test_crash_after_crash_is_given_up_once() -> None:
    """Five in a row, with waits under 1, 2, 4 and 8 s between them, and one error that names the cause."""
    server = FakeServer()

    async def main() -> None:
        supervisor = Supervisor(server, Supervision())
        await supervisor.start()
        server.causes = [CRASH] * 10
        server.crash()
        with pytest.raises(ModelServerError, match=r"memory ran out: .*; the last of its log"):
            await supervisor.run(FakeGate(server))
        assert supervisor.state is ServerState.FAILED

    run_virtual(main())
    starts = [at for at, what in server.said if what == "launch"]
    assert len(starts) == 5
    pauses = [later - sooner - LOAD_S for sooner, later in pairwise(starts[1:])]
    assert all(0.0 <= pause <= ceiling for pause, ceiling in zip(pauses, (2.0, 4.0, 8.0), strict=True))
    assert server.words.count("release") == 0


@pytest.mark.fault("F-47")
def test_crashes_that_lie_apart_are_forgiven() -> None:
    """A server that serves for ten minutes and more between two crashes is never given up."""

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        for _ in range(20):
            await asyncio.sleep(700.0)
            server.crash()
            await asyncio.sleep(5.0)
            await up(supervisor)
        assert supervisor.restarts == 20

    play(scene)


@pytest.mark.fault("F-46")
@pytest.mark.parametrize(("causes", "starts"), [([CRASH, CRASH], 3), ([BAD_FLAG], 1), ([CRASH] * 3, 3)])
def test_the_first_start(causes: list[Cause], starts: int) -> None:
    """Three tries for what may pass, one for what does not."""
    server = FakeServer(causes=[*causes])

    async def main() -> None:
        supervisor = Supervisor(server, Supervision())
        if len(causes) < starts:
            await supervisor.start()
            assert supervisor.state is ServerState.UP
        else:
            with pytest.raises(ModelServerError):
                await supervisor.start()
            assert supervisor.state is ServerState.FAILED

    run_virtual(main())
    assert server.words.count("launch") == starts


@pytest.mark.fault("F-46", "F-47")
def test_what_started_once_can_start_again() -> None:
    """A cause that ends a first start at once is only one more crash of a server that has been up."""

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        server.causes = [BAD_FLAG]
        server.crash()
        await asyncio.sleep(2.0)
        await up(supervisor)

    assert play(scene).words.count("launch") == 2


@pytest.mark.fault("F-48")
def test_a_hang_is_found_within_ninety_seconds() -> None:
    """Calls are out, none is answered, a canary dies: the server is killed and started anew."""
    found: list[float] = []

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        gate.in_flight, server.is_stopped = 8, True
        began_at = clock.now()
        await until(lambda: supervisor.state is not ServerState.UP, every_s=0.5)
        found.append(clock.now() - began_at)
        assert supervisor.reason == "it hangs: no answer for 60 s, and none to a canary"
        await up(supervisor)

    server = play(scene)
    assert found[0] <= 90.0
    assert server.words == ["canary", "hold", "kill", "launch", "release"]


@pytest.mark.fault("F-48")
def test_slow_is_not_hung() -> None:
    """A server that answers canaries, or a call while the canary is out, is left alone for as long as it takes."""

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        gate.in_flight = 8
        await asyncio.sleep(1000.0)
        server.is_stopped = True  # no room for a canary, but calls come back
        for _ in range(20):
            gate.last_answer_at = clock.now()
            await asyncio.sleep(65.0)
        assert supervisor.restarts == 0

    assert set(play(scene).words) == {"canary"}


def test_an_idle_server_is_asked_nothing() -> None:
    """Without a call out there is no silence."""

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        gate.last_answer_at = clock.now()
        await asyncio.sleep(10_000.0)

    assert play(scene).words == []


@pytest.mark.fault("F-52")
def test_a_restart_on_request_waits_for_the_calls_that_are_out() -> None:
    """Held first, then drained, then asked to end; it costs none of its chances."""
    options = Supervision(restarts=RestartOptions(max_crashes=1), drain_s=100.0)

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        gate.in_flight = 1
        async with asyncio.TaskGroup() as group:
            restarting = group.create_task(supervisor.restart())
            await asyncio.sleep(30.0)
            assert server.words == ["hold"]
            gate.in_flight = 0
            await restarting
        assert supervisor.state is ServerState.UP

    assert play(scene, options=options).words == ["hold", "hold", "ask", "launch", "release"]


@pytest.mark.fault("F-52")
def test_a_drain_has_an_end() -> None:
    """A call that never comes back does not keep a server from being restarted."""
    options = Supervision(drain_s=100.0, hang=HangOptions(silence_s=(1e6, 1e6)))

    async def scene(supervisor: Supervisor, server: FakeServer, gate: FakeGate) -> None:
        gate.in_flight = 1
        began_at = clock.now()
        await supervisor.restart()
        assert clock.now() - began_at == pytest.approx(100.0 + LOAD_S, abs=1.0)

    play(scene, options=options)


@pytest.mark.fault("F-52")
def test_a_restart_that_fails_is_told_to_both() -> None:
    """Whoever asked for it, and whoever runs the supervisor."""
    server = FakeServer()

    async def main() -> None:
        supervisor = Supervisor(server, Supervision())
        await supervisor.start()
        server.causes = [CRASH] * 10
        async with asyncio.TaskGroup() as group:
            group.create_task(refused(supervisor.run(FakeGate(server)), "the last of its log"))
            group.create_task(refused(supervisor.restart(), "memory ran out"))

    run_virtual(main())


async def refused(act: Coroutine[Any, Any, None], words: str) -> None:
    with pytest.raises(ModelServerError, match=words):
        await act
