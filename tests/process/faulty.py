"""A mock server for each fault, all in one thread of the test, so that no fault hides what another one leads to."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

from star_agents.mock.conduct import Conduct
from star_agents.mock.faults import Fault
from star_agents.mock.script import first
from star_agents.mock.server import MockServer

FAULTY_SENDS = 3
"""Of each server: enough for a call to be tried again and to fail again; after that it is sound."""

START_S = 30.0


@dataclass(frozen=True, slots=True)
class Faulty:
    """Servers by the name of their fault."""

    servers: Mapping[str, MockServer]

    def base_url(self, name: str) -> str:
        """What a config calls."""
        return self.servers[name].base_url

    def unmet(self) -> set[str]:
        """Faults that nobody has been sent into yet."""
        return {name for name, server in self.servers.items() if server.num_requests == 0}


@contextmanager
def faulty_servers(faults: Sequence[Fault]) -> Iterator[Faulty]:
    """Serve within the block; a fault is known by its name."""
    servers = {fault.name: MockServer(first(FAULTY_SENDS, fault), conduct=Conduct(latency_s=0.01)) for fault in faults}
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for server in servers.values():
                await stack.enter_async_context(server)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="faulty servers", daemon=True)
    thread.start()
    try:
        if not ready.wait(START_S):
            raise TimeoutError("the faulty servers")
        yield Faulty(servers)
    finally:
        ended.set()
        thread.join()
