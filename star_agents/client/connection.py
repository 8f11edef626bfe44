"""One question to a running service, with the standard library alone.

Law: a service is asked at its owner's socket where it has one, else at its port, and never through a proxy; whatever
goes wrong is one of two errors: nobody answers, or the answer is no.
"""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from star_agents.core.errors import ConfigError, ServiceGoneError, ServiceRefusedError, StarError
from star_agents.service.run.address import Address, read_address

ASK_S = 30.0
"""A question that changes the pool waits for a batch to be committed."""

OK = range(200, 300)
UNFIT = 422
JSON = "application/json"


def address_at(url: str, token: str) -> Address:
    """A service at `http://host:port`, for a reader that is not on its machine (a tunnel leads there).

    Raises:
        ConfigError: it is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.path not in {"", "/"}:
        raise ConfigError(f"{url}: give http://host:port of a service")
    return Address(host=parts.hostname, port=parts.port or 80, socket=None, token=token, read_token=token, pid=0)


def address_of(run_dir: Path) -> Address:
    """Where the service of a run is.

    Raises:
        ServiceGoneError: none is said to run.
    """
    address = read_address(run_dir)
    if not run_dir.is_dir():
        raise ServiceGoneError(f"{run_dir}: no such folder; name the one that run.dir of the config names")
    if address is None:
        raise ServiceGoneError(f"{run_dir}: no service is running for this run; start it with serve-run --resume")
    return address


def ask(address: Address, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # plain data
    """What the service answers.

    Raises:
        ServiceGoneError: nobody answers.
        ConfigError: it cannot be done as asked; one line for each thing to mend.
        ServiceRefusedError: the answer is no for another reason.
    """
    content = None if body is None else orjson.dumps(body)
    with answered(address, method, path, content=content, content_type=JSON) as reply:
        return orjson.loads(reply.read() or b"null")


@contextmanager
def answered(
    address: Address, method: str, path: str, *, content: bytes | None = None, content_type: str = JSON
) -> Iterator[http.client.HTTPResponse]:
    """The answer to a question, to be read inside the block; see `ask`."""
    connection = _SocketConnection(address) if address.socket else _port_connection(address)
    headers = {"Authorization": f"Bearer {address.token}"}
    if content is not None:
        headers["Content-Type"] = content_type
    try:
        connection.request(method, path, body=content, headers=headers)
        reply = connection.getresponse()
        if reply.status not in OK:
            raise _refusal(reply.status, reply.read())
        yield reply
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        raise ServiceGoneError(f"the service of process {address.pid} does not answer: {error}") from error
    finally:
        connection.close()


def _refusal(status: int, body: bytes) -> StarError:
    told = orjson.loads(body)
    told = told if isinstance(told, dict) else {}
    title, problems = str(told.get("title", f"status {status}")), told.get("problems")
    if status == UNFIT and problems:
        return ConfigError(*problems)
    return ServiceRefusedError(title, status)


def _port_connection(address: Address) -> http.client.HTTPConnection:
    if address.port is None:
        raise ServiceGoneError("the service has neither a socket nor a port")
    return http.client.HTTPConnection(address.host, address.port, timeout=ASK_S)


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: Address) -> None:
        super().__init__("localhost", timeout=ASK_S)
        self._path = address.socket or ""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ASK_S)
        self.sock.connect(self._path)
