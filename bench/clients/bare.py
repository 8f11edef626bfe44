"""The floor: an aiohttp session, orjson, and nothing else. No retry, no limit but the workers, no accounts."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import orjson
import uvloop
from yarl import URL

from bench.clients.contract import Client, Job, Setup, drive
from bench.clients.loops import Ask, on_loop


@asynccontextmanager
async def make(setup: Setup) -> AsyncIterator[Ask]:
    """A session for all targets."""
    urls = [URL(f"{target.url}/chat/completions") for target in setup.targets]
    models = [target.model for target in setup.targets]
    more = setup.extra.get("body", {})
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask(job: Job) -> bool:
            messages = [{"role": "user", "content": job.prompt}]
            body = {"model": models[job.target], "messages": messages, "max_tokens": job.max_tokens}
            async with session.post(urls[job.target], data=orjson.dumps({**body, **more})) as response:
                reply = orjson.loads(await response.read())
            return response.status == 200 and bool(reply["choices"][0]["message"]["content"])

        yield ask


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    with on_loop(make, setup, uvloop.new_event_loop) as client:
        yield client


if __name__ == "__main__":
    drive(opened, "aiohttp", "orjson", "uvloop")
