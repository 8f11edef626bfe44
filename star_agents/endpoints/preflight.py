"""Asking every endpoint, before the run begins, whether it is there, knows us, and serves the model.

Laws: all complaints come out together, and a config that is to be mended is told from a server that is not there. A
server that does not list its models is not complained about: the first call will tell.
"""

import asyncio
from collections.abc import Iterable
from difflib import get_close_matches

from star_agents.core import clock
from star_agents.core.errors import CallError, ConfigError, EndpointError
from star_agents.endpoints.endpoint import Endpoint, Replica
from star_agents.endpoints.formats.protocol import served_models
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec

SHOWN_MODELS = 5
WAITS_S = (0.5, 1.5, 3.0)
"""Between one asking and the next: a server that is being started over is not yet a server that is gone."""
PATIENCE_S = 10.0
"""After so long nobody is asked again."""
_NOT_YET = frozenset((429, 502, 503, 504, 529))
_REJECTED = frozenset((401, 403))


async def check(endpoints: Iterable[Endpoint]) -> None:
    """Ask every replica of every endpoint.

    Raises:
        ConfigError: a key, a model or a URL is to be mended; every complaint is in it.
        EndpointError: nothing is, but some replica is not to be had; every complaint is in it.
    """
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_complaint(endpoint.spec, replica), name=f"preflight {endpoint.spec.name}")
            for endpoint in endpoints
            for replica in endpoint.replicas
        ]
    complaints = [complaint for task in asked if (complaint := task.result()) is not None]
    if any(isinstance(complaint, ConfigError) for complaint in complaints):
        raise ConfigError(*map(str, complaints))
    if complaints:
        raise EndpointError("\n".join(map(str, complaints)))


async def _complaint(spec: EndpointSpec, replica: Replica) -> ConfigError | CallError | None:
    try:
        raw = await listed(replica)
    except CallError as error:
        return error
    return complaint(spec, replica.base_url, raw)


def complaint(spec: EndpointSpec, base_url: str, raw: RawReply) -> ConfigError | EndpointError | None:
    """What is wrong with an endpoint, by its reply to `GET /models`; None where nothing is."""
    where = f"endpoint {spec.name} ({base_url})"
    if raw.status in _REJECTED:
        origin = spec.api_key.origin if spec.api_key else "none is configured"
        return ConfigError(f"{where}: the key is rejected ({origin})")
    if raw.status in _NOT_YET:
        return EndpointError(f"{where}: not ready (HTTP {raw.status})")
    served = served_models(raw)
    if not spec.lists_models or not served or spec.model in served:
        return None
    near = get_close_matches(spec.model, served, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it serves {', '.join(served[:SHOWN_MODELS])}"
    return ConfigError(f"{where}: no model {spec.model}; {hint}")


async def listed(replica: Replica) -> RawReply:
    """The last word of a replica that is asked until it has one, or for long enough.

    Raises:
        CallError: it is not to be had.
    """
    began_at = clock.now()
    for wait in WAITS_S:
        try:
            raw = await replica.list_models()
        except CallError as error:
            if not error.retryable or clock.now() - began_at > PATIENCE_S:
                raise
        else:
            if raw.status not in _NOT_YET or clock.now() - began_at > PATIENCE_S:
                return raw
        await asyncio.sleep(wait)
    return await replica.list_models()
