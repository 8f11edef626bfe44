"""litellm's `Router` over all targets as deployments of one model: it chooses the target, the job's own is ignored.

`least-busy` is its own word for what a scheduler should do here. Its `max_parallel_requests` is left out: it refuses
what is too much instead of holding it back. So as many requests are out as there are slots, and the servers queue.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import litellm

from bench.clients.contract import Client, Job, Setup, drive
from bench.clients.loops import Ask, on_loop

GROUP = "bench"


@asynccontextmanager
async def make(setup: Setup) -> AsyncIterator[Ask]:
    """A router, and a gate before it for all targets together."""
    deployments = [
        {
            "model_name": GROUP,
            "litellm_params": {
                "model": f"openai/{target.model}",
                "api_base": target.url,
                "api_key": "none",
            },
        }
        for target in setup.targets
    ]
    router = litellm.Router(model_list=deployments, routing_strategy="least-busy")
    gate = asyncio.Semaphore(sum(target.slots for target in setup.targets))

    async def ask(job: Job) -> bool:
        async with gate:
            try:
                reply = await router.acompletion(
                    model=GROUP, messages=[{"role": "user", "content": job.prompt}], max_tokens=job.max_tokens
                )
            except Exception:  # noqa: BLE001  # its errors have no common root that it exports
                return False
            return bool(reply.choices and reply.choices[0].message.content)

    yield ask


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    with on_loop(make, setup) as client:
        yield client


if __name__ == "__main__":
    drive(opened, "litellm", "openai")
