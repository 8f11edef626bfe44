"""A port of the loopback interface that stays a server's own over its restarts.

Law: while it is held nobody else is given it, neither by `bind` to port 0 nor as the source of a connection;
no connection is ever accepted on the holding socket, so while the server is down calls are refused at once.
That rests on Linux letting two sockets with SO_REUSEADDR bind one port as long as at most one of them listens.
"""

import socket
from collections.abc import Callable

from star_agents.core.errors import ModelServerError
from star_agents.endpoints.servers.engines import HOST

PORT_TRIES = 3


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class HeldPort:
    """Holds a port from its making until `close`; one that was taken meanwhile costs a try."""

    def __init__(self, choose: Callable[[], int] = free_port) -> None:
        self._socket = _bound(choose)
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def _bound(choose: Callable[[], int]) -> socket.socket:
    for _ in range(PORT_TRIES):
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((HOST, choose()))
        except OSError:
            holder.close()
        else:
            return holder
    raise ModelServerError(f"none of {PORT_TRIES} ports of {HOST} was free")
