"""One replica of an endpoint: bytes out, a raw reply in. Nothing here tries twice, waits or decides.

Laws: no reply grows past `MAX_BODY_BYTES`, nor a streamed one past `stream.MAX_TEXT`; what breaks off is closed at
once; redirects are not followed; a deadline that passes is named. What can break: `endpoints.transport`.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from hashlib import blake2b
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from star_agents.core import clock
from star_agents.core.errors import CallError, MisdirectedError, RunawayReplyError, TimedOutError
from star_agents.core.secret import Secret
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.formats.stream import Stream
from star_agents.endpoints.formats.wire import RawReply, dump_json, request_id
from star_agents.endpoints.spec import EndpointSpec
from star_agents.endpoints.transport import CURRENT, Sending, connector, proxy_header, translated, trust

MAX_BODY_BYTES = 16 * 2**20
"""Counted after decoding, so that a small compressed body cannot unfold into a large one."""
TAIL_S = 2.0
"""How long a stream whose last event has come may take to end, so that its connection can be used again."""
METRICS_S = 2.0
"""Deadline of a look at a server's metrics: later they are old."""
_STREAM = "text/event-stream"
_ID = "X-Request-Id"
_OK = 200


class ReplicaClient:
    """An HTTP session with one base URL; enter it before sending."""

    def __init__(self, spec: EndpointSpec, base_url: str, *, resolver: AbstractResolver | None = None) -> None:
        """`resolver` finds addresses in the system's stead."""
        self.base_url = base_url.rstrip("/")
        self._spec = spec
        self._format = format_of(spec)
        self._url = URL(self.base_url + self._format.path)
        self._who = f"endpoint {spec.name} ({self.base_url})"
        self._timeout = self._adapted = self._deadlines(spec.timeouts.first_byte_s)
        """As configured, and with the first byte's deadline of the last send."""
        self._headers, self._proxy_headers = self._heads()
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._name = secrets.token_hex(4)
        self._sends = 0

    async def __aenter__(self) -> Self:
        """Open the session.

        Raises:
            ConfigError: `ca_file` is of no use.
        """
        spec = self._spec
        tls = await asyncio.to_thread(trust, spec) if spec.ca_file else None
        self._session = aiohttp.ClientSession(
            connector=connector(spec, tls, self._resolver),
            headers=None if spec.proxy else self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=spec.proxy,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:
        """Post an encoded body to the endpoint's API and return the whole reply, whatever its status.

        `first_byte_s` stands in for the endpoint's own. `call` names the call over all its tries, for servers
        that are sent an `Idempotency-Key`; the body is a part of that key.

        Raises:
            ConnectFailedError: the request was surely not taken.
            ConnectionLostError: the connection broke, or the body ended early.
            TimedOutError: a deadline passed; the message says which.
            MisdirectedError: TLS failed, or the reply is compressed beyond measure.
            AuthFailedError: the proxy does not know us.
            ReplyError: the reply is not HTTP, no stream as was asked for, or too long.
        """
        headers = self._send_headers(body, call)
        if self._spec.stream:
            return await self._stream(body, headers, first_byte_s or self._spec.timeouts.first_byte_s)
        first_byte_s = first_byte_s or self._spec.timeouts.first_byte_s
        if first_byte_s != self._adapted.sock_read:
            self._adapted = self._deadlines(first_byte_s)  # it changes seldom, and costs something to make
        return await self._exchange("POST", self._url, body, headers, self._adapted)

    async def list_models(self) -> RawReply:
        """Get `/models`; raises as `send` does."""
        url = URL(f"{self.base_url}/models")
        return await self._exchange("GET", url, None, self._headers, self._timeout)

    async def read_metrics(self) -> RawReply:
        """Get the server's `/metrics`, beside its API; raises as `send` does."""
        url = self._url.with_path("/metrics")
        return await self._exchange("GET", url, None, {}, aiohttp.ClientTimeout(total=METRICS_S))

    async def _exchange(
        self, method: str, url: URL, data: bytes | None, headers: Mapping[str, str], deadlines: aiohttp.ClientTimeout
    ) -> RawReply:
        sending, began_at = _begin(), clock.now()
        try:
            async with self._request(method, url, data, headers, deadlines) as response:
                sending.has_begun = True
                return _reply(response, await self._read(response), headers, began_at)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translated(error, self._who, sending, deadlines) from None

    async def _stream(self, body: bytes, headers: Mapping[str, str], first_byte_s: float) -> RawReply:
        sending, began_at = _begin(), clock.now()
        stream = Stream(self._format.assembler(self._spec), self._who)
        deadline = asyncio.timeout(first_byte_s)
        try:
            async with (
                deadline,
                self._request("POST", self._url, body, headers, self._deadlines(None)) as response,
            ):
                sending.has_begun = True
                if response.status != _OK or not response.headers.get("Content-Type", "").startswith(_STREAM):
                    return _reply(response, await self._read(response), headers, began_at)
                first_text_at = await self._drain(response, stream, deadline)
                raw = _reply(response, dump_json(stream.body()), headers, began_at)
                waited_s = None if first_text_at is None else first_text_at - began_at
                return replace(raw, is_cut=not stream.is_whole(), first_text_s=waited_s)
        except CallError as error:
            raise stream.costing(error, len(body)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            lost = translated(error, self._who, sending, self._deadlines(None))
            if deadline.expired():
                lost = self._late(stream, first_byte_s)
            raise stream.costing(lost, len(body)) from None

    async def _drain(self, response: aiohttp.ClientResponse, stream: Stream, deadline: asyncio.Timeout) -> float | None:
        """Read a stream to its end; when its first text came, on the loop's clock."""
        first_text_at = None
        async for chunk in response.content.iter_any():
            if stream.feed(chunk):
                now = clock.now()
                first_text_at = first_text_at or now
                deadline.reschedule(now + self._spec.timeouts.idle_s)
            if stream.has_ended:
                deadline.reschedule(None)
                await _drain_tail(response, stream)
                break
        return first_text_at

    def _late(self, stream: Stream, first_byte_s: float) -> TimedOutError:
        if stream.has_begun:
            words = f"no more text for {self._spec.timeouts.idle_s:g} s (timeouts.idle_s)"
        else:
            words = f"no text within {first_byte_s:g} s (timeouts.first_byte_s)"
        return TimedOutError(f"{self._who}: {words}")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length
        if length is not None and length <= MAX_BODY_BYTES and "Content-Encoding" not in response.headers:
            return await response.read()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise self._too_long(response)
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_long(self, response: aiohttp.ClientResponse) -> CallError:
        words = f"{self._who}: a reply of more than {MAX_BODY_BYTES} bytes"
        if response.headers.get("Content-Encoding", "identity") == "identity":
            return RunawayReplyError(words)
        return MisdirectedError(f"{words}, compressed, which was not asked for")

    def _deadlines(self, first_byte_s: float | None) -> aiohttp.ClientTimeout:
        """`first_byte_s` is None where the deadline is kept here."""
        timeouts = self._spec.timeouts
        return aiohttp.ClientTimeout(total=timeouts.total_s, connect=timeouts.connect_s, sock_read=first_byte_s)

    def _heads(self) -> tuple[dict[str, str], dict[str, str] | None]:
        """What every request carries, and what the proxy is told apart; the only place where secrets are in the open.

        Where there is a proxy none of it is a session's default: aiohttp would tell it those too, the key among them.
        """
        spec = self._spec
        accepted = f"{_STREAM}, application/json" if spec.stream else "application/json"
        ours = {"Content-Type": "application/json", "Accept": accepted, "Accept-Encoding": "identity"}
        theirs = {name: value.reveal() if isinstance(value, Secret) else value for name, value in spec.headers.items()}
        headers = {**ours, **self._format.headers(spec), **theirs}
        if self._url.scheme == "https":
            return headers, proxy_header(spec) or None
        return {**headers, **proxy_header(spec)}, None

    def _send_headers(self, body: bytes, call: str) -> dict[str, str]:
        self._sends += 1
        headers = {_ID: request_id(self._name, self._sends)}
        if self._spec.proxy:
            headers |= self._headers
        if self._spec.idempotency_key:
            headers["Idempotency-Key"] = blake2b(call.encode() + b"\0" + body, digest_size=16).hexdigest()
        return headers

    def _request(
        self, method: str, url: URL, data: bytes | None, headers: Mapping[str, str], deadlines: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError(f"{self!r} was not entered")
        return self._session.request(
            method,
            url,
            data=data,
            headers=headers,
            proxy_headers=self._proxy_headers,
            allow_redirects=False,
            timeout=deadlines,
        )

    def __repr__(self) -> str:
        return f"ReplicaClient({self._spec.name!r}, {self.base_url!r})"


def _begin() -> Sending:
    sending = Sending()
    CURRENT.set(sending)
    return sending


async def _drain_tail(response: aiohttp.ClientResponse, stream: Stream) -> None:
    """The usage and the end of the connection follow at once, or never; an answer that is whole needs neither."""
    try:
        async with asyncio.timeout(TAIL_S):
            async for chunk in response.content.iter_any():
                stream.feed(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass


def _reply(response: aiohttp.ClientResponse, body: bytes, sent: Mapping[str, str], began_at: float) -> RawReply:
    took = clock.now() - began_at
    return RawReply(response.status, response.headers, body, took, clock.wall(), sent.get(_ID, ""))
