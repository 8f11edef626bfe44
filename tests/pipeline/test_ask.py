"""One call made durable: what it cost is on its record, whichever way it ends."""

import asyncio
import gc
import weakref

import pytest

from star_agents.core.calls import NOTHING, Completion, Failure, Request, Usage
from star_agents.core.errors import BadRequestError, CallError, OverloadedError
from star_agents.core.place import Place
from star_agents.pipeline.ask import Asker
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual
from tests.storage.examples import asked, completion, plan

REQUEST = asked(0, 1)


def failed(error: CallError, attempts: int, wasted: Usage) -> CallError:
    error.attempts, error.wasted = attempts, wasted
    return error


class Script:
    """A completer that fails as it is told, one error a call; its endpoint is down for 5 s after each."""

    def __init__(self, *errors: CallError) -> None:
        self._errors = list(errors)
        self._down_until = 0.0

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        if not self._errors:
            return completion("answer")
        self._down_until = asyncio.get_running_loop().time() + 5.0
        raise self._errors.pop(0)

    def unavailable(self) -> frozenset[str]:
        is_down = asyncio.get_running_loop().time() < self._down_until
        return frozenset({REQUEST.endpoint} if is_down else ())


def ask(*errors: CallError) -> Completion | Failure:
    """The reply, which is also the one in the store."""
    store = MemoryStore()

    async def main() -> Completion | Failure:
        await store.assign(plan(0))
        return await Asker(Script(*errors), store, {}).ask(REQUEST)

    reply = run_virtual(main())
    assert store.replies == {REQUEST.key: reply}
    return reply


def test_what_was_wasted_before_an_outage_is_on_the_answers_record() -> None:
    """Two tries ended with the endpoint down; the third answers, and has all their sends and tokens."""
    reply = ask(
        failed(OverloadedError("down"), 4, Usage(10, 1, 1)),
        failed(OverloadedError("down"), 1, Usage(5, 0, is_estimated=True)),
    )
    assert isinstance(reply, Completion)
    assert (reply.attempts, reply.wasted) == (6, Usage(15, 1, 1, is_estimated=True))
    assert reply.usage == completion("answer").usage


def test_what_a_failed_call_cost_is_on_its_record() -> None:
    """Attempts and tokens of the error, those before an outage too."""
    reply = ask(
        failed(OverloadedError("down"), 4, Usage(10, 1)), failed(BadRequestError("no such field"), 1, Usage(3, 0))
    )
    assert isinstance(reply, Failure)
    assert (reply.reason, reply.attempts, reply.wasted) == ("bad_request", 5, Usage(13, 1))


def test_a_call_that_went_well_wasted_nothing() -> None:
    """The completion is recorded as it came."""
    reply = ask()
    assert reply == completion("answer")
    assert reply.wasted is NOTHING


class Named(Script):
    """Raises what it has by a name, as a fleet does: the error's frames hold the error."""

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        error = BadRequestError("no such field")
        self.raised = weakref.ref(error)
        raise error


@pytest.mark.fault("F-70")
def test_f70_a_failed_call_leaves_nothing_to_the_collector() -> None:
    """Its error, and all that its frames hold, is gone with its record."""
    script, store = Named(), MemoryStore()

    async def main() -> None:
        await store.assign(plan(0))
        assert isinstance(await Asker(script, store, {}).ask(REQUEST), Failure)
        assert script.raised() is None

    gc.disable()
    try:
        run_virtual(main())
    finally:
        gc.enable()
