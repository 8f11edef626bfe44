"""One replica of an endpoint: bytes out, a raw reply in. Nothing here tries twice, waits or decides.

Laws: every aiohttp exception is translated here and nowhere else, and none of its words get out (the request
it carries holds the key); no reply grows past `MAX_BODY_BYTES`; redirects are not followed, proxies and
credentials are not taken from the environment.
"""

import socket
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from star_agents.core import clock
from star_agents.core.errors import (
    ConnectFailedError,
    ConnectionLostError,
    MisdirectedError,
    StarError,
    TimedOutError,
    UnreadableReplyError,
)
from star_agents.endpoints.openai import PATHS
from star_agents.endpoints.spec import EndpointSpec
from star_agents.endpoints.wire import RawReply

MAX_BODY_BYTES = 16 * 2**20
"""Counted after decoding, so that a small compressed body cannot unfold into a large one."""
KEEP_ALIVE_S = 4.0
"""vLLM closes an idle connection after 5 s; ours must be gone before, or a request meets the closing."""
SPARE_CONNECTIONS = 8
"""Beyond the concurrency, so that the pool is never what a call waits for."""
TCP_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""Find a peer that vanished without a word within a minute (seconds, seconds, probes)."""


_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[StarError], str], ...] = (
    ((aiohttp.ConnectionTimeoutError,), TimedOutError, "no connection in time"),
    ((aiohttp.ServerTimeoutError,), TimedOutError, "nothing came in time"),
    ((TimeoutError,), TimedOutError, "no whole reply in time"),
    ((aiohttp.ClientSSLError,), MisdirectedError, "TLS failed: the certificate is not valid for this host, or expired"),
    ((aiohttp.ClientConnectorDNSError,), ConnectFailedError, "no such host"),
    ((aiohttp.ClientConnectorError,), ConnectFailedError, "cannot connect: refused or unreachable"),
    ((aiohttp.ClientResponseError,), UnreadableReplyError, "the reply is not HTTP"),
    ((aiohttp.ClientError, OSError), ConnectionLostError, "the connection broke, or the reply ended early"),
)
"""Theirs, ours, and our words for it; the first row that fits holds, for aiohttp's exceptions are a tangled tree."""


@dataclass(slots=True)
class _Send:
    """What is known of a send while it runs."""

    is_reused: bool = False
    """True where the connection had served before."""
    has_begun: bool = False
    """True once the reply's head has come."""


class ReplicaClient:
    """An HTTP session with one base URL; enter it before sending."""

    def __init__(self, spec: EndpointSpec, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._spec = spec
        self._url = URL(self.base_url + PATHS[spec.api])
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeouts = self._spec.timeouts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._spec.concurrency + SPARE_CONNECTIONS,
                keepalive_timeout=KEEP_ALIVE_S,
                socket_factory=_socket,
            ),
            headers=_headers(self._spec),
            timeout=aiohttp.ClientTimeout(
                total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=timeouts.first_byte_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[_reuse_trace()],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, body: bytes) -> RawReply:
        """Post an encoded body to the endpoint's API and return the whole reply, whatever its status.

        Raises:
            ConnectFailedError: the request was surely not taken.
            ConnectionLostError: the connection broke, or the body ended early.
            TimedOutError: a deadline passed.
            MisdirectedError: the certificate is not the host's.
            UnreadableReplyError: the reply is not HTTP, or longer than `MAX_BODY_BYTES`.
        """
        return await self._exchange("POST", self._url, data=body)

    async def list_models(self) -> RawReply:
        """Get `/models`; raises as `send` does."""
        return await self._exchange("GET", URL(f"{self.base_url}/models"))

    async def _exchange(self, method: str, url: URL, data: bytes | None = None) -> RawReply:
        if self._session is None:
            raise RuntimeError(f"{self!r} was not entered")
        send, began_at = _Send(), clock.now()
        try:
            async with self._session.request(
                method, url, data=data, allow_redirects=False, trace_request_ctx=send
            ) as response:
                send.has_begun = True
                body = await self._read(response)
                return RawReply(response.status, response.headers, body, clock.now() - began_at, clock.wall())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._translated(error, send) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise UnreadableReplyError(f"{self._who}: a reply of more than {MAX_BODY_BYTES} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _translated(self, error: Exception, send: _Send) -> StarError:
        kind, words = next((kind, words) for theirs, kind, words in _TRANSLATIONS if isinstance(error, theirs))
        if kind is ConnectionLostError and send.is_reused and not send.has_begun:
            kind, words = ConnectFailedError, "the server had closed the idle connection"
        return kind(f"{self._who}: {words}")

    @property
    def _who(self) -> str:
        return f"endpoint {self._spec.name} ({self.base_url})"

    def __repr__(self) -> str:
        return f"<ReplicaClient {self._spec.name} {self.base_url}>"


def _headers(spec: EndpointSpec) -> dict[str, str]:
    """The only place where the key is in the open."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if spec.api_key is not None:
        headers["Authorization"] = f"Bearer {spec.api_key.reveal()}"
    return {**headers, **spec.headers}


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in TCP_KEEP_ALIVE:
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened


def _reuse_trace() -> aiohttp.TraceConfig:
    """Tells each send whether its connection is a used one; aiohttp says it nowhere else."""
    trace = aiohttp.TraceConfig()

    async def on_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.is_reused = True

    trace.on_connection_reuseconn.append(on_reuse)
    return trace
