"""The official SDK: one `AsyncOpenAI`, the cheapest loop around it, and its own defaults for retries."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import openai

from bench.clients.contract import Client, Job, Setup, drive
from bench.clients.loops import Ask, on_loop


@asynccontextmanager
async def make(setup: Setup) -> AsyncIterator[Ask]:
    """A client a target, for each has its own base URL."""
    clients = [openai.AsyncOpenAI(base_url=target.url, api_key="none") for target in setup.targets]

    async def ask(job: Job) -> bool:
        try:
            reply = await clients[job.target].chat.completions.create(
                model=setup.targets[job.target].model,
                messages=[{"role": "user", "content": job.prompt}],
                max_tokens=job.max_tokens,
            )
        except openai.OpenAIError:
            return False
        return bool(reply.choices and reply.choices[0].message.content)

    yield ask
    for client in clients:
        await client.close()


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    with on_loop(make, setup) as client:
        yield client


if __name__ == "__main__":
    drive(opened, "openai")
