"""What every `Completer` promises, tried on the fake and on the fleet over real sockets alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from star_agents.core.calls import Completion, Request
from star_agents.core.errors import AuthFailedError, BadRequestError, StarError
from star_agents.core.place import Place
from star_agents.core.ports import Completer
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock import catalogue
from star_agents.mock.answers import answer
from star_agents.mock.conduct import Conduct
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import Seen, always
from star_agents.mock.server import MockServer
from star_agents.service.telemetry.spans import Traces
from star_agents.service.telemetry.traced import Watch, WatchedCompleter
from tests.endpoints.simulated import request
from tests.fakes.completer import MemoryCompleter, body_of
from tests.loops import run_real
from tests.service.test_watched_ports import ListSink

POISON = 13
"""The request with this number is refused for what it says."""
LATENCY_S = 0.002


@dataclass(frozen=True, slots=True)
class Subject:
    """A completer with two endpoints, `good` and `dead`; the second rejects our key."""

    completer: Completer
    in_flight: Callable[[], int]
    kept: Callable[[], int]


Body = Callable[[Subject], Awaitable[None]]
Try = Callable[[Body], None]


def fake_fails(asked: Request) -> StarError | None:
    if asked.endpoint == "dead":
        return AuthFailedError("no")
    return BadRequestError("no") if asked.random_seed == POISON else None


def poison(seen: Seen) -> Fault | None:
    return catalogue.BAD_REQUEST if seen.body["seed"] == POISON else None


@asynccontextmanager
async def real() -> AsyncIterator[Subject]:
    conduct = Conduct(latency_s=LATENCY_S)
    async with MockServer(poison, conduct=conduct) as good, MockServer(always(failing(401))) as dead:
        specs = [
            EndpointSpec(name=name, base_urls=(server.base_url,), model="m", concurrency=8)
            for name, server in (("good", good), ("dead", dead))
        ]
        async with Fleet(specs, run_seed=7) as fleet:
            yield Subject(
                fleet,
                lambda: sum(status.in_flight for status in fleet.snapshot()),
                lambda: sum(status.kept for status in fleet.snapshot()),
            )


@pytest.fixture(params=["fake", "watched fake", "fleet on uvloop", "fleet on asyncio"])
def trying(request: pytest.FixtureRequest) -> Try:
    """A function that runs `body` with a fresh completer."""

    async def main(body: Body) -> None:
        if "fake" in request.param:
            fake = MemoryCompleter(latency_s=LATENCY_S, fails=fake_fails)
            watched = WatchedCompleter(fake, {}, Watch(ListSink(), Traces("run", 1.0)))
            await body(Subject(fake if request.param == "fake" else watched, lambda: fake.in_flight, lambda: fake.kept))
        else:
            async with real() as subject:
                await body(subject)

    factory = asyncio.new_event_loop if request.param == "fleet on asyncio" else None
    return lambda body: run_real(main(body), factory=factory)


def test_an_answer_says_where_it_came_from(trying: Try) -> None:
    """Text, tokens, model and endpoint; the text is what the server said to this request and no other."""

    async def body(subject: Subject) -> None:
        asked = request(1, "good")
        said = await subject.completer.complete(asked)
        assert (said.endpoint, said.model, said.attempts) == ("good", "m", 1)
        assert said.text == answer(body_of(asked)).text
        assert said.usage.output_tokens > 0

    trying(body)


def test_many_at_once_are_not_mixed_up(trying: Try) -> None:
    """Each of two hundred calls gets its own answer."""

    async def body(subject: Subject) -> None:
        asked = [request(number, "good") for number in range(100, 300)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(subject.completer.complete(each)) for each in asked]
        assert [task.result().text for task in tasks] == [answer(body_of(each)).text for each in asked]

    trying(body)


def test_a_refused_request_fails_alone(trying: Try) -> None:
    """It is the request's fault, and the endpoint goes on."""

    async def body(subject: Subject) -> None:
        with pytest.raises(BadRequestError) as caught:
            await subject.completer.complete(request(POISON, "good"))
        assert caught.value.blames == "request"
        assert isinstance(await subject.completer.complete(request(1, "good")), Completion)
        assert subject.completer.unavailable() == frozenset()

    trying(body)


def test_a_dead_endpoint_fails_its_calls_and_no_others(trying: Try) -> None:
    """With an error that blames the endpoint; nothing hangs."""

    async def body(subject: Subject) -> None:
        for number in (1, 2):
            with pytest.raises(AuthFailedError) as caught:
                await subject.completer.complete(request(number, "dead"))
            assert caught.value.blames == "endpoint"
        assert subject.completer.unavailable() <= {"dead"}
        assert isinstance(await subject.completer.complete(request(1, "good")), Completion)

    trying(body)


@pytest.mark.parametrize("number", [1, POISON])
def test_a_place_is_kept_until_it_is_left(trying: Try, number: int) -> None:
    """Answered or refused, the call counts until whoever asked lets go, once; without a place it never does."""

    async def body(subject: Subject) -> None:
        place = Place()
        for where in (None, place):
            with suppress(StarError):
                await subject.completer.complete(request(number, "good"), where)
            assert (subject.in_flight(), subject.kept()) == (0, 0 if where is None else 1)
        for _ in range(2):
            place.leave()
            assert subject.kept() == 0

    trying(body)


def test_a_cancelled_call_keeps_no_place(trying: Try) -> None:
    """It was not answered: there is nothing to wait for."""

    async def body(subject: Subject) -> None:
        place = Place()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(subject.completer.complete(request(1, "good"), place))
            await asyncio.sleep(LATENCY_S / 2)
            task.cancel()
        assert (subject.in_flight(), subject.kept()) == (0, 0)

    trying(body)


def test_a_cancelled_call_is_gone(trying: Try) -> None:
    """Cancellation comes out as itself, and nothing stays in flight."""

    async def body(subject: Subject) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(subject.completer.complete(request(number, "good"))) for number in range(100, 150)
            ]
            await asyncio.sleep(LATENCY_S / 2)
            for task in tasks[::2]:
                task.cancel()
        assert all(task.cancelled() for task in tasks[::2])
        assert not any(task.cancelled() for task in tasks[1::2])
        assert subject.in_flight() == 0

    trying(body)
