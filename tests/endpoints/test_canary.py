"""What counts as a sign of life of a server that is asked for a token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from star_agents.core import clock
from star_agents.endpoints.servers.canary import Canary
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock import catalogue
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import always, never
from star_agents.mock.server import MockServer
from tests.endpoints.conftest import Run
from tests.loops import run_real


def canary(base_url: str) -> Canary:
    return Canary(EndpointSpec(name="smol", base_urls=(base_url,), model="smol"))


@pytest.mark.fault("F-48")
@pytest.mark.parametrize(
    ("fault", "lives"),
    [
        (None, True),
        (catalogue.SILENT, True),
        (catalogue.BAD_REQUEST, True),
        (catalogue.BLACK_HOLE, False),
        (catalogue.RESET, False),
        (failing(500), False),
    ],
    ids=["answer", "blank", "refusal", "nothing", "reset", "500"],
)
def test_signs_of_life(run: Run, fault: Fault | None, lives: bool) -> None:
    """An answer, a blank or a refusal of this one prompt is one; silence past the deadline and 5xx are none."""

    async def main() -> None:
        async with MockServer(always(fault) if fault else never) as server:
            began_at = clock.now()
            assert await canary(server.base_url).lives(0.5) is lives
            assert clock.now() - began_at < 5.0

    run(main())


@asynccontextmanager
async def queueing(step: int) -> AsyncIterator[str]:
    """A server that answers nothing, and whose figures say `step` more tokens every time they are read."""
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /metrics"):
            written += step
            page = (
                "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 128\n"
                "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 9\n"
                f"# TYPE vllm:generation_tokens counter\nvllm:generation_tokens_total {written}\n"
            ).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.fault("F-48")
@pytest.mark.parametrize(("step", "lives"), [(40, True), (0, False)], ids=["writing", "stopped"])
def test_a_long_queue_is_not_a_hang(run: Run, step: int, lives: bool) -> None:
    """A canary that waits behind others is no proof where the server's own count of tokens goes up."""

    async def main() -> None:
        async with queueing(step) as base_url:
            assert await canary(base_url).lives(0.5) is lives

    run(main())


@pytest.mark.fault("F-54")
def test_a_golden_prompt() -> None:
    """Where a longer prompt counts more tokens, nothing is wrong."""

    async def main() -> None:
        async with MockServer() as server:
            assert await canary(server.base_url).until_it_answers(5.0) is None

    run_real(main())
