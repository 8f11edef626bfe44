"""litellm's `acompletion`, told of its target in each call, as its documentation has it. Two sends more on a fault."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import litellm

from bench.clients.contract import Client, Job, Setup, drive
from bench.clients.loops import Ask, on_loop

NUM_RETRIES = 2
"""What the OpenAI SDK does unasked."""


@asynccontextmanager
async def make(setup: Setup) -> AsyncIterator[Ask]:
    """Nothing is to be opened."""

    async def ask(job: Job) -> bool:
        target = setup.targets[job.target]
        try:
            reply = await litellm.acompletion(
                model=f"openai/{target.model}",
                api_base=target.url,
                api_key="none",
                messages=[{"role": "user", "content": job.prompt}],
                max_tokens=job.max_tokens,
                num_retries=NUM_RETRIES,
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
