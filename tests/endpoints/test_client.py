"""One replica over real sockets, on uvloop and on plain asyncio: every way a connection can go wrong."""

import asyncio
import gzip
import ssl
import traceback
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from star_agents.core import clock
from star_agents.core.errors import (
    ConnectFailedError,
    ConnectionLostError,
    MisdirectedError,
    NoSuchHostError,
    RunawayReplyError,
    StarError,
    TimedOutError,
    UnreadableReplyError,
)
from star_agents.core.secret import Secret
from star_agents.endpoints.client import MAX_BODY_BYTES, ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from star_agents.mock import catalogue
from star_agents.mock.catalogue import CATALOGUE
from star_agents.mock.conduct import Conduct
from star_agents.mock.faults import Fault, failing, saying
from star_agents.mock.script import Script, always, in_turn, never
from star_agents.mock.server import MockServer
from tests.endpoints.conftest import Run
from tests.endpoints.simulated import request
from tests.loops import run_real

CANARY = "sk-canary-0123456789"
CERTIFICATE = Path(__file__).parents[1] / "data" / "tls" / "other-host.pem"


def spec_for(server: MockServer, **changes: object) -> EndpointSpec:
    key = Secret(CANARY, origin="env:KEY")
    spec = EndpointSpec(name="e", base_urls=(server.base_url,), model="m", api_key=key, concurrency=10)
    return replace(spec, **changes)  # type: ignore[arg-type]  # named as the fields are


async def ask(client: ReplicaClient, spec: EndpointSpec, number: int = 0) -> str:
    wire = format_of(spec)
    return wire.decode(await client.send(wire.encode(request(number), spec)), request(number), spec).text


@asynccontextmanager
async def talking(script: Script = never, **changes: object) -> Any:  # noqa: ANN401  # a generator
    """A server with this script, and a client of it."""
    async with MockServer(script, conduct=Conduct(api_key=CANARY)) as server:
        spec = spec_for(server, **changes)
        async with ReplicaClient(spec, server.base_url) as client:
            yield server, client, spec


async def failure(script: Script, **changes: object) -> StarError:
    """What the first call to such a server fails with."""
    async with talking(script, **changes) as (_, client, spec):
        with pytest.raises(StarError) as caught:
            await ask(client, spec)
        return caught.value


def test_an_answer(run: Run) -> None:
    """The same words for the same request, over one connection that is kept."""

    async def main() -> None:
        async with talking() as (server, client, spec):
            said = [await ask(client, spec, number) for number in (1, 2, 1)]
            assert said[0] == said[2] != said[1]
            assert server.connections == 1

    run(main())


@pytest.mark.fault("F-01")
def test_f01_nobody_listens(run: Run) -> None:
    """F-01: refused, so surely not accepted."""

    async def main() -> None:
        async with talking() as (server, client, spec):
            await server.stop()
            with pytest.raises(ConnectFailedError, match="cannot connect"):
                await ask(client, spec)
            await server.listen()
            assert await ask(client, spec)

    run(main())


@pytest.mark.fault("F-02")
def test_f02_no_such_host(run: Run) -> None:
    """F-02: a name that does not resolve is a connection that was never made."""

    async def main() -> None:
        spec = EndpointSpec(name="e", base_urls=(), model="m")
        async with ReplicaClient(spec, "http://no-such-host.invalid/v1") as client:
            with pytest.raises(NoSuchHostError, match="no such host"):
                await ask(client, spec)

    run(main())


@pytest.mark.fault("F-04")
def test_f04_a_kept_connection_that_the_server_had_closed(run: Run) -> None:
    """F-04: no reply on a used connection is a new connection's business; on a fresh one it is a loss."""

    async def main() -> None:
        async with talking(in_turn([None, catalogue.NO_REPLY, catalogue.NO_REPLY])) as (_, client, spec):
            assert await ask(client, spec)
            with pytest.raises(ConnectFailedError, match="idle connection"):
                await ask(client, spec)
            with pytest.raises(ConnectionLostError):
                await ask(client, spec)

    run(main())


@pytest.mark.fault("F-04")
def test_f04_an_idle_close_is_not_felt(run: Run) -> None:
    """F-04: a server that closes idle connections costs new connections and nothing else."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(idle_s=0.02)) as server:
            spec = spec_for(server)
            async with ReplicaClient(spec, server.base_url) as client:
                for number in range(5):
                    assert await ask(client, spec, number)
                    await asyncio.sleep(0.04)
            assert server.connections == 5

    run(main())


@pytest.mark.fault("F-05", "F-10")
@pytest.mark.parametrize("after", [1, 40, 90, 180, 400])
@pytest.mark.parametrize("resets", [True, False])
def test_f05_f10_a_reply_that_breaks_off(run: Run, after: int, resets: bool) -> None:
    """F-05, F-10: whether by RST or by a short body, after however many bytes, the part that came is thrown away."""
    error: list[StarError] = []

    async def main() -> None:
        error.append(await failure(always(Fault(name="cut", cut_after=after, resets=resets))))

    run(main())
    assert isinstance(error[0], ConnectionLostError)


@pytest.mark.fault("F-10")
def test_f10_a_chunked_reply_without_its_end(run: Run) -> None:
    """F-10: the last chunk is what says that a body is whole."""
    fault = Fault(name="chunked", headers={"transfer-encoding": "chunked"}, body=b"5\r\nhello\r\n", cut_after=10**6)

    async def main() -> None:
        assert isinstance(await failure(always(fault)), ConnectionLostError)

    run(main())


@pytest.mark.fault("F-06")
@pytest.mark.parametrize(
    ("timeouts", "words"),
    [
        (Timeouts(first_byte_s=0.1), "no byte for 0.1 s (timeouts.first_byte_s)"),
        (Timeouts(total_s=0.1), "no whole reply within 0.1 s (timeouts.total_s)"),
    ],
)
def test_f06_a_black_hole(run: Run, timeouts: Timeouts, words: str) -> None:
    """F-06: accepted, and then silence; the deadline ends it."""

    async def main() -> None:
        began_at = clock.now()
        error = await failure(always(catalogue.BLACK_HOLE), timeouts=timeouts)
        assert isinstance(error, TimedOutError)
        assert words in str(error)
        assert clock.now() - began_at < 1.1

    run(main())


@pytest.mark.fault("F-12")
def test_f12_a_small_body_that_unfolds(run: Run) -> None:
    """F-12: compression was not asked for, what comes is counted after it is undone, and the rest is left folded."""
    bomb = gzip.compress(b" " * (16 * MAX_BODY_BYTES), compresslevel=1)
    fault = Fault(name="bomb", headers={"content-encoding": "gzip"}, body=bomb)

    async def main() -> None:
        tracemalloc.start()
        error = await failure(always(fault))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(error, MisdirectedError)
        assert "compressed, which was not asked for" in str(error)
        assert peak < 3 * MAX_BODY_BYTES

    run(main())


@pytest.mark.fault("F-40")
def test_a_reply_without_end(run: Run) -> None:
    """F-40: a body beyond the cap is cut, whatever its length says."""

    async def main() -> None:
        error = await failure(always(saying("long", b" " * (MAX_BODY_BYTES + 1))))
        assert isinstance(error, RunawayReplyError)

    run(main())


@pytest.mark.fault("F-13")
def test_f13_a_redirect_is_not_followed(run: Run) -> None:
    """F-13: wherever it points, nothing is sent there."""

    async def main() -> None:
        async with MockServer() as elsewhere:
            moved = failing(307, None, location=f"{elsewhere.base_url}/chat/completions")
            assert isinstance(await failure(always(moved)), MisdirectedError)
            assert elsewhere.connections == 0

    run(main())


def test_what_is_not_http(run: Run) -> None:
    """A port that something else answers on."""

    async def main() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            spec = EndpointSpec(name="e", base_urls=(), model="m")
            async with ReplicaClient(spec, f"http://127.0.0.1:{port}/v1") as client:
                with pytest.raises(UnreadableReplyError, match="not HTTP"):
                    await ask(client, spec)

    run(main())


@pytest.mark.fault("F-03")
def test_f03_a_certificate_that_is_not_the_hosts(run: Run) -> None:
    """F-03: TLS that fails is the endpoint's fault for good; there is no switch to look away."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)

    async def main() -> None:
        async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            spec = EndpointSpec(name="e", base_urls=(), model="m")
            async with ReplicaClient(spec, f"https://127.0.0.1:{port}/v1") as client:
                with pytest.raises(MisdirectedError, match="TLS failed"):
                    await ask(client, spec)

    run(main())


@pytest.mark.fault("F-21")
@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_f21_the_key_is_in_no_error(name: str) -> None:
    """F-21: neither in its text nor in what a traceback would print."""

    async def main() -> None:
        timeouts = Timeouts(first_byte_s=0.1, total_s=1.0)
        async with talking(always(CATALOGUE[name]), timeouts=timeouts) as (_, client, spec):
            printed = repr(client) + repr(spec)
            try:
                await ask(client, spec)
            except StarError as error:
                printed += "".join(traceback.format_exception(error)) + repr(error)
            assert CANARY not in printed

    run_real(main())


def test_the_client_says_who_it_is_to_nobody_else(run: Run) -> None:
    """The key is sent, in the one header it belongs in."""

    async def main() -> None:
        async with talking() as (_, client, _):
            reply = await client.list_models()
            assert reply.status == 200
        async with (
            MockServer(conduct=Conduct(api_key="another")) as server,
            ReplicaClient(spec_for(server), server.base_url) as client,
        ):
            assert (await client.list_models()).status == 401

    run(main())


def test_a_client_that_was_not_entered() -> None:
    """Using it is a mistake of the caller's, and says so."""

    async def main() -> None:
        spec = EndpointSpec(name="e", base_urls=(), model="m")
        with pytest.raises(RuntimeError, match="not entered"):
            await ReplicaClient(spec, "http://a/v1").send(b"")

    run_real(main())
