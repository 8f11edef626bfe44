"""A call of one token that asks a server of ours whether it lives. It goes past the fleet, and waits for no turn.

Law: only what a model wrote is a sign of life; `/health` is not (a stopped engine leaves it at 200). An
answer that a person cannot read is a sign all the same.
"""

import asyncio
from dataclasses import replace

from star_agents.core import clock
from star_agents.core.calls import CallKey, Message, Purpose, Request, SamplingParams, Usage
from star_agents.core.errors import (
    ConnectFailedError,
    ConnectionLostError,
    EmptyReplyError,
    OverloadedError,
    StarError,
    TimedOutError,
)
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.gauges import read as read_gauges
from star_agents.endpoints.spec import EndpointSpec, Timeouts

POLL_S = 0.25
"""How often a starting server is asked whether it answers."""
UNWELL_S = 60.0
"""A starting server may say 5xx for so long."""
CONNECT_S = 2.0
HELLO = "Hello"
GREETING = "Hello, and a good morning to everybody who reads this line"

_NOT_YET = (ConnectFailedError, ConnectionLostError, TimedOutError)
"""What a server may do that is still loading."""


class Canary:
    """Asks one server; `spec` is the endpoint as fitted to it."""

    def __init__(self, spec: EndpointSpec) -> None:
        self._spec = replace(spec, concurrency=1)

    async def lives(self, deadline_s: float) -> bool:
        """Whether one token comes within `deadline_s`, or, where the queue is too long for that, any was written."""
        before: int | None = None
        try:
            async with asyncio.timeout(deadline_s):
                before = await self._written()
                await self._tokens_of(HELLO, deadline_s)
        except (*_NOT_YET, OverloadedError, TimeoutError):
            after = None if before is None else await self._written()
            return before is not None and after is not None and after > before
        except StarError:
            return True
        return True

    async def until_it_answers(self, deadline_s: float) -> str | None:
        """Ask until there is an answer; return what is wrong with it, if anything is."""
        unwell_since: float | None = None
        while True:
            try:
                return await self._golden(deadline_s)
            except _NOT_YET:
                pass
            except OverloadedError as error:
                unwell_since = unwell_since or clock.now()
                if clock.now() - unwell_since > UNWELL_S:
                    return str(error)
            except StarError as error:
                return str(error)
            await asyncio.sleep(POLL_S)

    async def _golden(self, deadline_s: float) -> str | None:
        """Two prompts, one longer than the other: a chat template that loses the user's words counts them alike."""
        short = await self._tokens_of(HELLO, deadline_s)
        long = await self._tokens_of(GREETING, deadline_s)
        if short.is_estimated or not long.input_tokens or long.input_tokens > short.input_tokens:  # or not told
            return None
        return (
            "its chat template loses what the user says (a longer prompt is still "
            f"{long.input_tokens} tokens to it); mend it, or add `--chat-template FILE` to `args`"
        )

    async def _written(self) -> int | None:
        """Tokens that the server says it has written since its start; a stopped engine's do not move."""
        async with ReplicaClient(self._spec, self._spec.base_urls[0]) as client:
            gauges = await read_gauges(client)
        return None if gauges is None else gauges.generation_tokens

    async def _tokens_of(self, text: str, deadline_s: float) -> Usage:
        """What one token in answer to `text` took.

        Raises:
            StarError: it could not be had; an answer without text is one.
        """
        timeouts = Timeouts(connect_s=CONNECT_S, first_byte_s=deadline_s, total_s=deadline_s)
        spec = replace(self._spec, timeouts=timeouts)
        key = CallKey(0, Purpose.RESPOND, 0)
        ping = Request(key, spec.name, (Message("user", text),), SamplingParams(max_tokens=1), 0)
        wire = format_of(spec)
        async with ReplicaClient(spec, spec.base_urls[0]) as client:
            try:
                return wire.decode(await client.send(wire.encode(ping, spec)), ping, spec).usage
            except EmptyReplyError as error:  # its one token may have been a blank
                return error.wasted
