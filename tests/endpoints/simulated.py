"""Replicas without sockets, for virtual time: the mock server's answers and faults, and a record of every send."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from star_agents.core import clock
from star_agents.core.calls import (
    CallKey,
    Completion,
    Message,
    Purpose,
    Request,
    SamplingParams,
)
from star_agents.core.errors import ConnectFailedError, ConnectionLostError, StarError, TimedOutError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock.answers import fingerprint
from star_agents.mock.faults import Fault
from star_agents.mock.reply import reply_to
from star_agents.mock.script import Script, Seen, never
from tests.loops import run_virtual


def request(number: int, endpoint: str = "e", *, max_tokens: int = 200, text: str = "Say") -> Request:
    """A request unlike any other number's."""
    messages = (Message("user", f"{text} {number}."),)
    return Request(CallKey(number, Purpose.RESPOND, 0), endpoint, messages, SamplingParams(max_tokens), number)


@dataclass(slots=True)
class Send:
    """One send as the simulated server saw it."""

    at: float
    replica: str
    body: dict[str, Any]


@dataclass(slots=True)
class Simulation:
    """All the servers of a test. `script` says what goes wrong; while `refuses` says so, nobody listens."""

    script: Script = never
    latency_s: float = 1.0
    fault_latency_s: float | None = None
    """Of a send that goes wrong, where that is soon seen."""
    timeout_s: float = 60.0
    refuses: Callable[[float, str], bool] = lambda _now, _replica: False
    sends: list[Send] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    times: Counter[str] = field(default_factory=Counter)

    def fleet(self, **changes: Any) -> Fleet:  # noqa: ANN401  # fields of `EndpointSpec`
        """A fleet of one endpoint, `e`, with one replica, unless `changes` say otherwise."""
        spec = EndpointSpec(name="e", base_urls=("http://a/v1",), model="m")
        return Fleet([replace(spec, **changes)], run_seed=7, connect=self.connect)

    def connect(self, spec: EndpointSpec, base_url: str) -> "SimulatedReplica":
        """What `ReplicaClient` is in earnest."""
        return SimulatedReplica(self, spec, base_url)

    async def serve(self, replica: str, body: dict[str, Any]) -> RawReply:
        """Answer after the latency, or fail as the script says."""
        name = fingerprint(body)
        seen = Seen(len(self.sends), name, self.times[name], body)
        self.sends.append(Send(clock.now(), replica, body))
        self.times[name] += 1
        if self.refuses(clock.now(), replica):
            raise ConnectFailedError("simulated: refused")
        fault = self.script(seen)
        self.in_flight[replica] += 1
        self.peak = max(self.peak, self.in_flight.total())
        try:
            return await self._reply(body, fault)
        finally:
            self.in_flight[replica] -= 1

    async def _reply(self, body: dict[str, Any], fault: Fault | None) -> RawReply:
        began_at = clock.now()
        latency_s = self.latency_s if fault is None or self.fault_latency_s is None else self.fault_latency_s
        fault = fault or Fault(name="none")
        await asyncio.sleep(self.timeout_s if fault.hangs else latency_s + fault.delay_s)
        if fault.hangs:
            raise TimedOutError("simulated: nothing came")
        if fault.cut_after is not None:
            raise ConnectionLostError("simulated: cut")
        wall = clock.wall()
        status, headers, written = reply_to(body, fault, datetime.fromisoformat(wall))
        return RawReply(status, headers, written, clock.now() - began_at, wall)


@dataclass(slots=True)
class SimulatedReplica:
    """One replica; see `endpoints.endpoint.Replica`."""

    simulation: Simulation
    spec: EndpointSpec
    base_url: str

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:
        return await self.simulation.serve(self.base_url, json.loads(body))

    async def read_metrics(self) -> RawReply:
        return RawReply(404, {}, b"", 0.0, clock.wall())

    async def list_models(self) -> RawReply:
        listed = {"data": [{"id": self.spec.model}]}
        return RawReply(200, {}, json.dumps(listed).encode(), 0.0, clock.wall())


async def ask_all(fleet: Fleet, numbers: Sequence[int]) -> list[Completion | StarError]:
    """Ask everything at once; the outcomes in order."""

    async def ask(number: int) -> Completion | StarError:
        try:
            return await fleet.complete(request(number))
        except StarError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(number)) for number in numbers]
    return [task.result() for task in tasks]


def in_fleet(simulation: Simulation, body: Callable[[Fleet], Awaitable[None]], **changes: object) -> None:
    """Run `body` with a fleet on virtual time, and see that every permit came back."""

    async def main() -> None:
        async with simulation.fleet(**changes) as fleet:
            await body(fleet)
            (status,) = fleet.snapshot()
            assert (status.in_flight, status.waiting, simulation.in_flight.total()) == (0, 0, 0)

    run_virtual(main())


def answered(outcomes: Sequence[Completion | StarError]) -> bool:
    return all(isinstance(outcome, Completion) for outcome in outcomes)
