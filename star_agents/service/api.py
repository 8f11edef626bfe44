"""The HTTP face: what a run is doing, on the loopback interface, behind a token.

Law: no route changes the run in this version, none is served to a foreign Host or Origin (a loopback
binding alone does not stop DNS rebinding), and everything under /api needs the bearer token, which lives in
a file only its owner can read. Health answers say no more than whether.
"""

import asyncio
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from star_agents.core.errors import PortTakenError
from star_agents.service.status import Phase, RunStatus

ADDRESS_FILE = "service.json"
"""In the run folder, mode 0600: where the service listens, and its token."""

MAX_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a running service."""

    host: str
    port: int
    token: str
    pid: int

    def url(self, path: str) -> str:
        """The URL of a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"


def read_address(run_dir: Path) -> Address | None:
    """The address a running service left, or None where none is said to run."""
    try:
        return Address(**orjson.loads((run_dir / ADDRESS_FILE).read_bytes()))
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


@asynccontextmanager
async def serve(host: str, port: int, run_dir: Path, status: Callable[[], RunStatus]) -> AsyncIterator[Address]:
    """Serve until the block is left; writes `ADDRESS_FILE` and takes it away again.

    Raises:
        PortTakenError: another program listens there.
    """
    token = secrets.token_urlsafe(32)
    runner = web.AppRunner(_application(status, token), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        bound = await _bind(runner, host, port)
        address = Address(host, bound, token, os.getpid())
        file = run_dir / ADDRESS_FILE
        await asyncio.to_thread(_write_private, file, orjson.dumps(address))
        try:
            yield address
        finally:
            await asyncio.to_thread(file.unlink, missing_ok=True)
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> int:
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise PortTakenError(
            f"service.port: cannot listen on {host}:{port} ({error.strerror or 'in use'}); "
            "stop the program that does, or set service.port to another (0 takes any free one)"
        ) from None
    return int(runner.addresses[0][1])


def _write_private(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _application(status: Callable[[], RunStatus], token: str) -> web.Application:
    guard = _guard(token)
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)

    async def healthz(_: web.Request) -> web.Response:
        return _json({"ok": True})

    async def readyz(_: web.Request) -> web.Response:
        is_ready = status().phase is Phase.RUNNING
        return _json({"ready": is_ready}, status=200 if is_ready else 503)

    async def whole(_: web.Request) -> web.Response:
        return _json(status())

    async def weights(_: web.Request) -> web.Response:
        now = status()
        pairs = {pair.pair: pair.p for pair in now.pairs if pair.p is not None}
        return _json({"version": now.weights_version, "p": pairs})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/api/v1/status", whole)
    app.router.add_get("/api/v1/weights", weights)
    return app


def _guard(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_loopback(request.host) or "Origin" in request.headers:
            return _problem(403, "this service answers programs on its own machine only")
        given = request.headers.get("Authorization", "").encode()
        if request.path.startswith("/api/") and not hmac.compare_digest(given, expected):
            return _problem(401, f"send the token of {ADDRESS_FILE} in the run folder as a bearer token")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, error.reason)

    return guard


def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in {"127.0.0.1", "localhost", "[::1]"}


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value, default=_plain), status=status, content_type="application/json")


def _plain(value: object) -> object:
    """Read-only mappings as JSON objects; anything else is a mistake of ours."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _problem(status: int, title: str) -> web.Response:
    """A problem document (RFC 9457)."""
    body = orjson.dumps({"status": status, "title": title})
    return web.Response(body=body, status=status, content_type="application/problem+json")
