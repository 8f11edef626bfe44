"""By which door an order came, as it is put on record: never a secret, never a text that who asks could choose.

At the Unix socket the kernel says whose process is at the other end (SO_PEERCRED), whatever that process says itself;
at the port nobody can tell more than that the writing token was known.
"""

import re
import socket
import struct

from aiohttp import web

from star_agents.core.errors import ConfigError
from star_agents.service.run.orders import Asker

IDEMPOTENCY_KEY = "Idempotency-Key"
"""A header as draft-ietf-httpapi-idempotency-key-header has it."""

_KEY = re.compile(r"[!-~]{1,128}")
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid (unix(7))."""


def asker_of(request: web.Request) -> Asker:
    """Who gives the order in a request that was let in.

    Raises:
        ConfigError: its key is none.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise ConfigError(f"{IDEMPOTENCY_KEY}: 1 to 128 printable characters of ASCII, without spaces")
    return Asker(_door(request), key)


def _door(request: web.Request) -> str:
    connection = request.get_extra_info("socket")
    if connection is None:
        return "gone"
    if connection.family != socket.AF_UNIX:
        return "port:token"
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return f"socket:uid={uid}:token"
