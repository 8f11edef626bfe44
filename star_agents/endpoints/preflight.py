"""Asking every endpoint, before the run begins, whether it is there, knows us, and serves the model.

Law: a complaint is about something a person can mend, and all of them come out together. A server that does
not list its models is not complained about: the first call will tell.
"""

import asyncio
from collections.abc import Iterable
from difflib import get_close_matches

from star_agents.core.errors import EndpointError, ReplyError
from star_agents.endpoints.endpoint import Endpoint, Replica
from star_agents.endpoints.openai import served_models
from star_agents.endpoints.spec import EndpointSpec

SHOWN_MODELS = 5


async def problems(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    """One line for each replica with something to mend; none where all is well."""
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_problem(endpoint.spec, replica), name=f"preflight {endpoint.spec.name}")
            for endpoint in endpoints
            for replica in endpoint.replicas
        ]
    return tuple(problem for task in asked if (problem := task.result()) is not None)


async def _problem(spec: EndpointSpec, replica: Replica) -> str | None:
    try:
        raw = await replica.list_models()
    except (EndpointError, ReplyError) as error:
        return str(error)
    where = f"endpoint {spec.name} ({replica.base_url})"
    if raw.status in {401, 403}:
        return f"{where}: the key is rejected ({spec.api_key.origin if spec.api_key else 'none is configured'})"
    served = served_models(raw)
    if not spec.lists_models or not served or spec.model in served:
        return None
    near = get_close_matches(spec.model, served, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it serves {', '.join(served[:SHOWN_MODELS])}"
    return f"{where}: no model {spec.model}; {hint}"
