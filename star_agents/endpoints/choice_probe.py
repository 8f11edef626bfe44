"""Finding out how a server can be held to one of a few answers: by asking it, once, before a run.

Law: a way counts as understood only where the reply shows it; a server may ignore a field that it does not know,
so the labels that are asked for are none that the question would bring up.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from star_agents.core.calls import CallKey, Completion, Message, Purpose, Request, SamplingParams
from star_agents.core.errors import BadRequestError, EndpointError, OverloadedError, ReplyError
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.spec import Choices, EndpointSpec

WAYS: tuple[Choices, ...] = ("structured_outputs", "json_schema", "guided_choice", "logprobs")
"""In this order: a constraint that cannot be broken first, no constraint but probabilities last."""
WAITS_S = (0.5, 2.0)
"""Before a server that could not answer is asked again."""

_LABELS = ("zebra", "quartz")
_LETTERS = ("A", "B")
_PARAMS = SamplingParams(max_tokens=32, temperature=0.0)

_log = logging.getLogger(__name__)


async def settled(
    spec: EndpointSpec, *, connect: Callable[[EndpointSpec, str], ReplicaClient] = ReplicaClient
) -> EndpointSpec:
    """The spec with `choices: auto` replaced by what its server understands, or by `none`, which is logged.

    Raises:
        ConfigError: `ca_file` is of no use.
    """
    if spec.choices != "auto":
        return spec
    way = await _way(spec, connect) if spec.api != "messages" else "none"
    if way == "none":
        _log.warning("endpoint %s: no way to hold it to a choice was found; verdicts are read from its text", spec.name)
    else:
        _log.info("endpoint %s: verdicts are chosen by %s", spec.name, way)
    return replace(spec, choices=way)


async def _way(spec: EndpointSpec, connect: Callable[[EndpointSpec, str], ReplicaClient]) -> Choices:
    async with connect(spec, spec.base_urls[0]) as client:
        for way in WAYS:
            try:
                completion = await ask(client, replace(spec, choices=way), _request(way))
            except (BadRequestError, OverloadedError, ReplyError):
                continue  # not this way
            except EndpointError:
                break  # it will not be there for the next way either
            if completion.choice_p is not None or completion.text in _LABELS:
                return way
    return "none"


def _request(way: Choices) -> Request:
    labels, text = _LABELS, "Say hello."
    if way == "logprobs":
        labels, text = _LETTERS, "Which letter comes first in the alphabet, A or B? Answer with the letter alone."
    key = CallKey(0, Purpose.JUDGE, 0)
    return Request(key, "probe", (Message("user", text),), _PARAMS, 0, choices=labels)


async def ask(client: ReplicaClient, spec: EndpointSpec, request: Request) -> Completion:
    """Ask, and ask again where the server could not answer.

    Raises:
        CallError: no answer, or one of no use.
    """
    wire = format_of(spec)
    for wait in WAITS_S:
        try:
            return wire.decode(await client.send(wire.encode(request, spec)), request, spec)
        except EndpointError as error:
            if not error.retryable:
                raise
        await asyncio.sleep(wait)
    return wire.decode(await client.send(wire.encode(request, spec)), request, spec)
