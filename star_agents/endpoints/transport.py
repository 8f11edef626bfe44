"""What a connection is made of: sockets, certificates, proxies, deadlines, and whose fault it is when it breaks.

Laws: every aiohttp exception is translated here and nowhere else, and none of its words get out (the request it
carries holds the key); certificates are always verified; proxies and credentials of the environment are not used.
"""

import errno
import socket
import ssl
from base64 import b64encode
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from star_agents.core.errors import (
    AuthFailedError,
    CallError,
    ConfigError,
    ConnectFailedError,
    ConnectionLostError,
    MisdirectedError,
    NoSuchHostError,
    TimedOutError,
    UnreadableReplyError,
)
from star_agents.endpoints.spec import EndpointSpec

KEEP_ALIVE_S = 4.0
"""vLLM closes an idle connection after 5 s; ours must be gone before, or a request meets the closing."""
SPARE_CONNECTIONS = 8
"""Beyond the concurrency, so that the pool is never what a call waits for."""
TCP_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""Find a peer that vanished without a word within a minute (seconds, seconds, probes)."""
DNS_TTL_S = 60.0
"""How long a host's addresses are used again without asking; a name server may fail in between."""
_NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE))
_PROXY_REFUSES = 407


@dataclass(slots=True)
class Sending:
    """What is known of a send while it runs."""

    is_fresh: bool = False
    """True where a connection was opened for it."""
    has_begun: bool = False
    """True once the reply's head has come."""


CURRENT: ContextVar[Sending | None] = ContextVar("current", default=None)
"""The send on whose behalf a socket is opened. aiohttp says otherwise only by traces, which cost every request."""

_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[CallError], str], ...] = (
    ((aiohttp.ConnectionTimeoutError,), TimedOutError, "no connection within {0.connect:g} s (timeouts.connect_s)"),
    ((aiohttp.ServerTimeoutError,), TimedOutError, "no byte for {0.sock_read:g} s (timeouts.first_byte_s)"),
    ((TimeoutError,), TimedOutError, "no whole reply within {0.total:g} s (timeouts.total_s)"),
    ((aiohttp.ClientSSLError, ssl.SSLError), MisdirectedError, "TLS failed: {tls}"),
    ((aiohttp.ClientConnectorDNSError,), NoSuchHostError, "no such host"),
    ((aiohttp.ClientProxyConnectionError,), ConnectFailedError, "cannot connect to the proxy"),
    ((aiohttp.ClientConnectorError,), ConnectFailedError, "cannot connect: refused or unreachable"),
    ((aiohttp.ClientResponseError,), UnreadableReplyError, "the reply is not HTTP"),
    ((aiohttp.ClientError, OSError), ConnectionLostError, "the connection broke, or the reply ended early"),
)
"""Theirs, ours, and our words for it; the first row that fits holds, for aiohttp's exceptions are a tangled tree."""


def connector(
    spec: EndpointSpec, tls: ssl.SSLContext | None, resolver: AbstractResolver | None
) -> aiohttp.TCPConnector:
    """The pool of an endpoint's connections."""
    return aiohttp.TCPConnector(
        limit=spec.concurrency + SPARE_CONNECTIONS,
        keepalive_timeout=KEEP_ALIVE_S,
        ttl_dns_cache=DNS_TTL_S,  # type: ignore[arg-type]  # seconds; the annotation says int
        resolver=resolver,
        socket_factory=_socket,
        ssl=True if tls is None else tls,
    )


def trust(spec: EndpointSpec) -> ssl.SSLContext | None:
    """Who is trusted, where it is not whom the system trusts. Blocks, for a file.

    Raises:
        ConfigError: the file cannot be read, or holds no certificates.
    """
    if spec.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=spec.ca_file)
    except OSError as error:  # an ssl.SSLError too
        raise ConfigError(
            f"endpoints.{spec.name}.ca_file: {spec.ca_file} cannot be read ({type(error).__name__}); "
            "give certificates in PEM form"
        ) from None


def proxy_header(spec: EndpointSpec) -> dict[str, str]:
    """What the proxy is told: in a request of its own for https, on ours for http. Revealed here."""
    if spec.proxy_auth is None:
        return {}
    return {"Proxy-Authorization": f"Basic {b64encode(spec.proxy_auth.reveal().encode()).decode()}"}


def translated(error: Exception, who: str, sending: Sending, deadlines: aiohttp.ClientTimeout) -> CallError:
    """Our error for theirs, which loses its frames; `who` is whom it was sent to, under which `deadlines`."""
    _let_go_of_frames(error)
    if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:
        return ConnectFailedError(f"{who}: this process has no file descriptors left; raise `ulimit -n`")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error.status, who)
    kind, words = next((kind, words) for theirs, kind, words in _TRANSLATIONS if isinstance(error, theirs))
    if kind is ConnectionLostError and not sending.is_fresh and not sending.has_begun:
        kind, words = ConnectFailedError, "the server had closed the idle connection"
    return kind(f"{who}: {words.format(deadlines, tls=_tls_reason(error))}")


def _let_go_of_frames(error: BaseException) -> None:
    """Of an error and of what led to it.

    aiohttp keeps the error of a broken reply on its stream, and the frames in the error's traceback keep the stream.
    Such a ring is freed by the collector alone, which comes seldom: some fifty objects a send that failed.
    """
    led: BaseException | None = error
    while led is not None:
        led.__traceback__ = None
        led = led.__cause__ or led.__context__


def _refused_by_proxy(status: int, who: str) -> CallError:
    if status == _PROXY_REFUSES:
        return AuthFailedError(f"{who}: the proxy rejects its credentials")
    return ConnectFailedError(f"{who}: the proxy does not connect (HTTP {status})")


def _tls_reason(error: Exception) -> str:
    """OpenSSL's own words for a certificate that will not do: they name hosts and dates, never a secret."""
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return "no TLS is spoken here, or none that is safe"


def _socket(address: tuple[Any, ...]) -> socket.socket:
    if sending := CURRENT.get():
        sending.is_fresh = True
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in TCP_KEEP_ALIVE:
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened
