"""What a connection is made of, over real sockets: names, certificates, proxies, descriptors, and the heads we send."""

import asyncio
import base64
import contextlib
import errno
import gc
import json
import resource
import socket
import ssl
import traceback
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from star_agents.core.errors import (
    AuthFailedError,
    CallError,
    ConfigError,
    ConnectFailedError,
    ConnectionLostError,
    MisdirectedError,
    NoSuchHostError,
    TimedOutError,
)
from star_agents.core.secret import Secret
from star_agents.endpoints import transport
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.descriptors import RESERVE, fitted
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from tests.endpoints.conftest import Run
from tests.endpoints.proxyserver import proxying
from tests.endpoints.rawserver import Line, ask, listening, talking
from tests.endpoints.streams import ANTHROPIC, CANARY, SPEC

TLS = Path(__file__).parents[1] / "data" / "tls"
CHAT = replace(SPEC, stream=False)
WHOLE = json.dumps({"id": "x", "choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}).encode()


async def answer(line: Line) -> None:
    await line.reply(WHOLE)


def server_tls(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / certificate)
    return context


async def failure(client: ReplicaClient, spec: EndpointSpec = CHAT) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(client, spec)
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    return caught.value


class Names(AbstractResolver):
    """Knows one host until it fails."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.fails = False
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        if self.fails:
            raise OSError(socket.EAI_AGAIN, "no name server")
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0),
        ]

    async def close(self) -> None:
        pass


@pytest.mark.fault("F-02")
def test_f02_a_name_server_that_flaps(run: Run) -> None:
    """F-02: a name that was known stays known for a while; one that was not is a fault of the endpoint's, by name."""

    async def main() -> None:
        async def hang_up(line: Line) -> None:
            await line.reply(WHOLE, headers=["connection: close"])

        async with listening(hang_up, host="model.invalid") as server:
            names = Names(0)
            async with ReplicaClient(CHAT, server.url, resolver=names) as client:
                assert await ask(client, CHAT)
                names.fails = True
                assert await ask(client, CHAT)
                assert (names.asked, server.connections) == (1, 2)
            async with ReplicaClient(CHAT, server.url, resolver=names) as client:
                error = await failure(client)
                assert type(error) is NoSuchHostError
                assert (error.reason, error.retryable) == ("dns", True)

    run(main())


@pytest.mark.fault("F-03")
@pytest.mark.parametrize(
    ("certificate", "ca_file", "words"),
    [
        ("local.pem", "ca.pem", None),
        ("expired.pem", "ca.pem", "certificate has expired"),
        ("local.pem", None, "unable to get local issuer certificate"),
        ("other-host.pem", "other-host.pem", "IP address mismatch"),
    ],
)
def test_f03_certificates(run: Run, certificate: str, ca_file: str | None, words: str | None) -> None:
    """F-03: one's own authority is trusted where it is named; expired, foreign and unknown ones are never."""

    async def main() -> None:
        spec = replace(CHAT, ca_file=str(TLS / ca_file) if ca_file else None)
        async with (
            listening(answer, tls=server_tls(certificate)) as server,
            ReplicaClient(spec, server.url) as client,
        ):
            if words is None:
                assert await ask(client, spec) == "Whole."
                return
            error = await failure(client, spec)
            assert type(error) is MisdirectedError
            assert f"TLS failed: {words}" in str(error)
            assert server.asked == []

    run(main())


@pytest.mark.fault("F-03")
def test_f03_no_tls_at_all(run: Run) -> None:
    """F-03: https to a server that speaks http."""

    async def main() -> None:
        async def talk_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 What?\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk_plainly, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with ReplicaClient(CHAT, f"https://127.0.0.1:{port}/v1") as client:
                error = await failure(client)
            assert type(error) is MisdirectedError
            assert "no TLS is spoken here" in str(error)

    run(main())


@pytest.mark.parametrize("file", ["no-such-file.pem", "README.md"])
def test_a_file_of_certificates_that_is_none(run: Run, file: str) -> None:
    """It is named before anything is sent, with the key of the config and the mend."""

    async def main() -> None:
        client = ReplicaClient(replace(CHAT, ca_file=str(TLS / file)), "https://a/v1")
        with pytest.raises(ConfigError, match=r"endpoints\.e\.ca_file: .* PEM"):
            await client.__aenter__()

    run(main())


def test_a_proxy_for_http_and_for_https(run: Run) -> None:
    """By absolute URI and by CONNECT, with credentials that only the proxy sees; the key goes to the server alone."""

    async def main() -> None:
        auth = Secret(f"me:{CANARY}", origin="env:PROXY")
        for tls in (None, server_tls("local.pem")):
            async with proxying(f"me:{CANARY}") as proxy, listening(answer, tls=tls) as server:
                spec = replace(CHAT, proxy=proxy.url, proxy_auth=auth, ca_file=str(TLS / "ca.pem"))
                async with ReplicaClient(spec, server.url) as client:
                    assert await ask(client, spec) == "Whole."
                (head,) = proxy.heads
                assert head.split(" ")[0] == ("CONNECT" if tls else "POST")
                assert server.asked[0].headers["authorization"] == f"Bearer {CANARY}"
                if tls:
                    assert CANARY not in head
                    assert "proxy-authorization" not in server.asked[0].headers

    run(main())


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_proxy_that_does_not_know_us(run: Run, is_tls: bool) -> None:
    """It is told apart from a server that does not, and nothing of the credentials is shown."""

    async def main() -> None:
        async with proxying("me:other") as proxy, listening(answer) as server:
            url = server.url.replace("http:", "https:") if is_tls else server.url
            spec = replace(CHAT, proxy=proxy.url, proxy_auth=Secret(f"me:{CANARY}", origin="env:PROXY"))
            async with ReplicaClient(spec, url) as client:
                error = await failure(client, spec)
                assert type(error) is AuthFailedError
                assert "the proxy rejects its credentials" in str(error)
            assert base64.b64encode(f"me:{CANARY}".encode()).decode() not in repr(error)

    run(main())


@pytest.mark.fault("F-01")
def test_f01_a_proxy_that_is_not_there_or_cannot_connect(run: Run) -> None:
    """F-01: whichever of the two does not connect, nothing was taken."""

    async def main() -> None:
        spec = replace(CHAT, proxy="http://127.0.0.1:9")
        async with ReplicaClient(spec, "http://127.0.0.1:9/v1") as client:
            error = await failure(client, spec)
            assert type(error) is ConnectFailedError
            assert "cannot connect to the proxy" in str(error)
        async with proxying(refuses=b"HTTP/1.1 502 Nobody") as proxy:
            spec = replace(CHAT, proxy=proxy.url)
            async with ReplicaClient(spec, "https://127.0.0.1:9/v1") as client:
                error = await failure(client, spec)
                assert type(error) is ConnectFailedError
                assert "the proxy does not connect (HTTP 502)" in str(error)

    run(main())


def test_proxies_of_the_environment_are_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that somebody set for another program does not move our calls."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        async with talking(answer, CHAT) as (_, client):
            assert await ask(client, CHAT) == "Whole."

    run(main())


def test_a_connection_that_is_not_made_in_time(run: Run) -> None:
    """The deadline for connecting is its own, and named; a name server that hangs is inside it."""

    class Hangs(Names):
        async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
            await asyncio.sleep(60.0)
            return []

    async def main() -> None:
        spec = replace(CHAT, timeouts=Timeouts(connect_s=0.1))
        async with ReplicaClient(spec, "http://model.invalid/v1", resolver=Hangs(0)) as client:
            error = await failure(client, spec)
            assert type(error) is TimedOutError
            assert "no connection within 0.1 s (timeouts.connect_s)" in str(error)

    run(main())


@pytest.mark.fault("F-14")
def test_f14_a_peer_that_vanished_is_found_by_the_kernel(run: Run) -> None:
    """F-14: every connection is probed after 30 s of silence, three times, 10 s apart."""

    async def main() -> None:
        async with talking(answer, CHAT) as (_, client):
            await ask(client, CHAT)
            assert client._session is not None
            assert client._session.connector is not None
            ((protocol, _),) = next(iter(client._session.connector._conns.values()))
            assert protocol.transport is not None
            kept = protocol.transport.get_extra_info("socket")
            assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            told = [kept.getsockopt(socket.IPPROTO_TCP, option) for option, _ in transport.TCP_KEEP_ALIVE]
            assert told == [30, 10, 3]

    run(main())


@pytest.mark.fault("F-15")
def test_f15_no_descriptors_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-15: it is said in so many words, with the mend."""

    def exhausted(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        async with talking(answer, CHAT) as (_, client):
            monkeypatch.setattr(socket, "socket", exhausted)
            error = await failure(client)
            assert type(error) is ConnectFailedError
            assert "ulimit -n" in str(error)
            monkeypatch.undo()
            assert await ask(client, CHAT) == "Whole."

    run(main())


@pytest.mark.fault("F-15")
def test_f15_fewer_calls_where_descriptors_are_few(caplog: pytest.LogCaptureFixture) -> None:
    """F-15: every endpoint gives way by the same share, once, with a warning; enough are left alone."""
    specs = [replace(CHAT, name=name, concurrency=concurrency) for name, concurrency in (("a", 300), ("b", 100))]
    assert fitted(specs, 4096) == specs
    assert not caplog.records
    few = fitted(specs, RESERVE + 16 + 200)
    assert [spec.concurrency for spec in few] == [150, 50]
    (record,) = caplog.records
    assert f"ulimit -n {400 + 16 + RESERVE}" in record.getMessage()
    assert [spec.concurrency for spec in fitted(specs, 64)] == [1, 1]
    assert fitted(specs, resource.RLIM_INFINITY) == specs


def test_what_every_request_carries(run: Run) -> None:
    """The endpoint's headers, secrets among them, a name for each send, and no wish for compression."""

    async def main() -> None:
        headers: dict[str, str | Secret] = {"X-Team": "blue", "X-Org": Secret(CANARY, origin="env:ORG")}
        for spec in (replace(CHAT, headers=headers), replace(ANTHROPIC, headers=headers)):
            async with listening(answer) as server, ReplicaClient(spec, server.url) as client:
                assert CANARY not in repr(spec) + repr(client)
                for _ in range(2):
                    await client.send(b"{}")
                await client.list_models()
                first, second, listed = (asked.headers for asked in server.asked)
                assert (first["x-team"], first["x-org"]) == ("blue", CANARY)
                assert listed["x-org"] == CANARY
                assert first["accept-encoding"] == "identity"
                assert first["x-request-id"] != second["x-request-id"]
                assert "idempotency-key" not in first
                assert "cookie" not in first
                key = "x-api-key" if spec.api == "messages" else "authorization"
                assert CANARY in first[key]

    run(main())


def test_a_call_has_one_idempotency_key_over_all_its_tries(run: Run) -> None:
    """Another call, or another body, has another."""

    async def main() -> None:
        spec = replace(CHAT, idempotency_key=True)
        async with talking(answer, spec) as (server, client):
            for body, call in ((b"{}", "1"), (b"{}", "1"), (b"{}", "2"), (b"[]", "1")):
                await client.send(body, call=call)
            keys = [asked.headers["idempotency-key"] for asked in server.asked]
            assert keys[0] == keys[1]
            assert len(set(keys)) == 3

    run(main())


@pytest.mark.fault("F-44")
def test_f44_the_reply_to_another_request(run: Run) -> None:
    """F-44: a reply that names another send of ours is refused; one that names ours, or nobody's, is taken."""
    told: dict[str, str] = {}

    async def named(line: Line) -> None:
        sent = line.asked.headers["x-request-id"]
        id_ = told.get("id", "chatcmpl-{}").format(sent, sent[:-1] + "9")
        header = told.get("header", "none").format(sent, sent[:-1] + "9")
        body = json.dumps({**json.loads(WHOLE), "id": id_}).encode()
        await line.reply(body, headers=[f"X-Request-Id: {header}"])

    async def main() -> None:
        async with talking(named, CHAT) as (_, client):
            for told["id"], told["header"] in (("chatcmpl-{0}", "{0}"), ("x", "req_123"), ("x", "{0}")):
                assert await ask(client, CHAT) == "Whole."
            for told["id"], told["header"] in (("chatcmpl-{1}", "x"), ("x", "{1}")):
                error = await failure(client)
                assert type(error) is MisdirectedError
                assert "another request" in str(error)
            raw = await client.send(b"{}")
            assert raw.request_id.endswith("9")

    run(main())


def test_the_translation_of_a_foreign_error_is_ours_alone() -> None:
    """No aiohttp exception keeps its words: they hold the request's head, and the key in it."""
    request = aiohttp.RequestInfo("http://a", "POST", {"Authorization": CANARY}, "http://a")  # type: ignore[arg-type]  # plain
    foreign = aiohttp.ClientResponseError(request, (), status=400, message=f"bad {CANARY}")
    ours = transport.translated(foreign, "e", transport.Sending(), aiohttp.ClientTimeout(total=1))
    assert str(ours) == "e: the reply is not HTTP"


@pytest.mark.fault("F-70")
def test_f70_a_send_that_failed_leaves_nothing_to_the_collector(run: Run) -> None:
    """A reply that breaks off: its stream, and what was read of it, are freed without a collection."""

    async def break_off(line: Line) -> None:
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + bytes(1000))
        line.writer.close()

    async def main() -> None:
        async with talking(break_off, CHAT) as (_, client):
            await refused(client)  # what is made once
            gc.collect()
            gc.disable()
            before = alive(aiohttp.StreamReader)
            for _ in range(5):
                await refused(client)
            assert alive(aiohttp.StreamReader) <= before

    async def refused(client: ReplicaClient) -> None:
        with contextlib.suppress(ConnectionLostError):
            await client.send(b"{}")
            raise AssertionError("it was answered")

    try:
        run(main())
    finally:
        gc.enable()


def alive(kind: type) -> int:
    return sum(issubclass(type(one), kind) for one in gc.get_objects())  # `isinstance` would ask objects that warn
