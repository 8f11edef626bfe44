"""Telling systemd how we are (`sd_notify(3)`): ready, stopping, alive, and a line for `systemctl status`.

Law: where nobody listens nothing is sent, and a message that cannot be sent is not missed: it never holds a run up.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress

MICROSECONDS = 1_000_000


class Notifier:
    """Datagrams to the socket that `NOTIFY_SOCKET` names; a leading `@` is Linux's abstract namespace."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def ready(self, status: str) -> None:
        """The run has begun."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """A line for people."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """The run is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The event loop comes round; silence makes systemd start us anew (`WatchdogSec=`)."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            message = "\n".join(line.replace("\n", " ") for line in lines)
            with suppress(OSError):  # a full queue, or nobody there any more
                self._socket.sendto(message.encode(), self._address)


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants to hear that we live, at least, in seconds; None where it does not."""
    wanted, meant_for = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(pid))
    if not wanted.isdigit() or not int(wanted) or meant_for != str(pid):
        return None
    return int(wanted) / MICROSECONDS / 2
