"""One call to a model, made durable: the recorded reply if there is one, else ask, record, answer.

Law: a stage never acts on a reply that a crash could forget, and a reply that was paid for is never
bought twice. A call that fails for good is a record like any other; cancellation records nothing. While its
endpoint is down a call waits: to record it as failed would spend the seed on a fault that is not its own.
What was served in vain is on the record of the call, whichever way it ends. A call keeps its place at its endpoint
until its reply is durable, so that a crash wastes no more calls than an endpoint takes at once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from star_agents.core.calls import NOTHING, CallKey, Failure, Reply, Request, Usage
from star_agents.core.errors import EndpointError, ReplyError
from star_agents.core.place import Place
from star_agents.core.ports import Completer, Store

DOWN_POLL_S = 1.0
"""How often a call looks whether its endpoint, which was down, can be asked again."""


class Asker:
    """The completer as the stages use it, with the journal behind it."""

    def __init__(self, completer: Completer, store: Store, recorded: Mapping[CallKey, Reply]) -> None:
        self._completer = completer
        self._store = store
        self._recorded = dict(recorded)

    async def ask(self, request: Request) -> Reply:
        """Return the reply to `request`, durable by the time this returns.

        Raises:
            StoreError: the reply could not be recorded.
        """
        recorded = self._recorded.pop(request.key, None)
        if recorded is not None:
            return recorded
        place = Place()
        try:
            reply = await self._call(request, place)
            await self._store.respond(request, reply)
        finally:
            place.leave()
        return reply

    async def _call(self, request: Request, place: Place) -> Reply:
        sends, wasted = 0, NOTHING  # of tries that an outage ended
        while True:
            try:
                completion = await self._completer.complete(request, place)
            except (EndpointError, ReplyError) as error:
                error.__traceback__ = None  # its frames hold it: a ring that waits for the collector
                sends, wasted = sends + error.attempts, wasted + error.wasted
                if error.blames != "endpoint" or request.endpoint not in self._completer.unavailable():
                    return _failure(request, error, sends, wasted)
                place.leave()  # nothing of this try is to be recorded by itself
            else:
                if not sends:
                    return completion
                return replace(completion, attempts=sends + completion.attempts, wasted=wasted + completion.wasted)
            while request.endpoint in self._completer.unavailable():  # noqa: ASYNC110  # a breaker goes by the clock
                await asyncio.sleep(DOWN_POLL_S)


def _failure(request: Request, error: EndpointError | ReplyError, sends: int, wasted: Usage) -> Failure:
    return Failure(
        slot=request.key.slot,
        purpose=request.key.purpose,
        reason=error.reason,
        message=str(error),
        endpoint=request.endpoint,
        attempts=sends,
        wasted=wasted,
    )
