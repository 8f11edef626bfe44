"""Our fleet: `Fleet.complete`, with everything that it does for a request.

`helpings` of the extra wishes is how many requests are offered to it for each that may be in flight (1): one that
waits for its next try holds no permit, so there must be others to send meanwhile, as there are in a run.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import uvloop

from bench.clients.contract import Client, Job, Setup, drive
from bench.clients.loops import Ask, on_loop
from star_agents.core.calls import CallKey, Message, Purpose, Request, SamplingParams
from star_agents.core.errors import CallError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.openai import MAX_SEED
from star_agents.endpoints.spec import EndpointSpec


def specs(setup: Setup) -> list[EndpointSpec]:
    """An endpoint a target, at its concurrency."""
    return [
        EndpointSpec(
            name=f"e{number}",
            base_urls=(target.url,),
            model=target.model,
            concurrency=target.slots,
            extra_body=setup.extra.get("body", {}),
            send_seed=setup.extra.get("send_seed", True),
            pacing=setup.extra.get("pacing", "fixed"),
            retry_truncated=False,
        )
        for number, target in enumerate(setup.targets)
    ]


@asynccontextmanager
async def make(setup: Setup) -> AsyncIterator[Ask]:
    """A fleet for all targets."""
    names = [spec.name for spec in specs(setup)]
    async with Fleet(specs(setup), 17) as fleet:

        async def ask(job: Job) -> bool:
            key = CallKey(job.number, Purpose.RESPOND, 0)
            messages, params = (Message("user", job.prompt),), SamplingParams(job.max_tokens)
            try:
                await fleet.complete(Request(key, names[job.target], messages, params, job.number & MAX_SEED))
            except CallError:
                return False
            return True

        yield ask


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    helpings = setup.extra.get("helpings", 1)
    offered = replace(setup, targets=tuple(replace(each, slots=each.slots * helpings) for each in setup.targets))
    with on_loop(lambda _: make(setup), offered, uvloop.new_event_loop) as client:
        yield client


if __name__ == "__main__":
    drive(opened, "star-agents", "aiohttp", "orjson", "uvloop")
