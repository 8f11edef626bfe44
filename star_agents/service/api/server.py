"""The HTTP face: a run seen and steered from outside, at a socket of its owner's and on the loopback interface.

Law: it serves from the first moment of a start to the last, so that what starts slowly can be watched; it is gone, and
its address with it, when the block is left. Who may ask is `guard`'s to say, and what can be asked `routes`'s.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from star_agents.core.errors import PortTakenError
from star_agents.service.api.control import Control
from star_agents.service.api.guard import Guard
from star_agents.service.api.idle import IDLE_S, IdleWatch
from star_agents.service.api.page import Page, harden
from star_agents.service.api.routes import Routes
from star_agents.service.run.address import Address, Tokens, forget_address, socket_path, write_address

MAX_BODY_BYTES = 65_536

KEEP_ALIVE_S = 15.0
CLOSE_S = 5.0
"""How long streams are waited for at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to serve: `port` None is the Unix socket alone, 0 any free one."""

    host: str
    port: int | None
    run_dir: Path
    metrics: bool = True
    idle_s: float = IDLE_S
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_announced: bool = True
    """Whether others find it by the run folder, with a socket; else whoever opened it has the only address."""
    port_name: str = "service.port"
    """What a person sets to have another port."""


@asynccontextmanager
async def serve(place: Place, control: Control) -> AsyncIterator[Address]:
    """Serve until the block is left; the address lies in the run folder meanwhile, if it is announced.

    Raises:
        PortTakenError: another program listens there.
    """
    tokens, idle = Tokens.draw(), IdleWatch(idle_s=place.idle_s)
    routes = [*Routes(control, with_metrics=place.metrics).table(), *(await asyncio.to_thread(Page.load)).table()]
    runner = web.AppRunner(
        _application(routes, tokens, idle),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=CLOSE_S,
    )
    await runner.setup()
    try:
        port = await _bind(runner, place)
        socket = await _open_socket(runner, place) if place.is_announced else None
        address = Address(
            host=place.host, port=port, socket=socket, token=tokens.write, read_token=tokens.read, pid=os.getpid()
        )
        with idle.watching(_server(runner)):
            async with _announced(place, address):
                yield address
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _announced(place: Place, address: Address) -> AsyncIterator[None]:
    """The address lies in the run folder while the block lasts, where it is to be found there."""
    if not place.is_announced:
        yield
        return
    await asyncio.to_thread(write_address, place.run_dir, address)
    try:
        yield
    finally:
        await asyncio.to_thread(forget_address, place.run_dir, address)


def _application(routes: Sequence[web.RouteDef], tokens: Tokens, idle: IdleWatch) -> web.Application:
    middlewares = [idle.middleware(), Guard(tokens).middleware()]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    app.add_routes(routes)
    app.on_response_prepare.append(harden)
    return app


def _server(runner: web.AppRunner) -> web.Server:
    assert runner.server is not None  # noqa: S101  # it has been set up
    return runner.server


async def _bind(runner: web.AppRunner, place: Place) -> int | None:
    if place.port is None:
        return None
    site = web.TCPSite(runner, place.host, place.port)
    try:
        await site.start()
    except OSError as error:
        raise PortTakenError(
            f"{place.port_name}: cannot listen on {place.host}:{place.port} ({error.strerror or 'in use'}); "
            f"stop the program that does, or set {place.port_name} to another (0 takes any free one)"
        ) from None
    return int(runner.addresses[0][1])


async def _open_socket(runner: web.AppRunner, place: Place) -> str | None:
    path = await asyncio.to_thread(socket_path, place.run_dir, place.environ)
    if path is None:
        return None
    await asyncio.to_thread(path.unlink, missing_ok=True)  # one that was killed left it
    await web.UnixSite(runner, path).start()
    await asyncio.to_thread(path.chmod, 0o600)
    return str(path)
