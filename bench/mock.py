"""How many requests a second `star-agents mock-server` itself manages on one core, so that it is no client's limit.

    python -m bench.mock [--seconds S] [--save] [--quick]

The server runs on the first core, the load generator on the second: raw sockets, replies only counted. Every
request is another one. The server's CPU is its own (user and system), so what it could do on a core to itself is
the requests over that, also where the generator or the machine is the limit.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any, Self

from bench.harness.report import Report, parser_of

TARGET = 10_000
ANSWER = b"HTTP/1.1 200"
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nAccept: */*\r\nAuthorization: Bearer none\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
TINY = ("--tokens", "3", "--tokens-sigma", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many connections, each with so many requests under way."""

    name: str
    connections: int
    ahead: int = 1
    streams: bool = False
    flags: Sequence[str] = TINY


LOADS = (
    Load(name="64 connections", connections=64),
    Load(name="256 connections", connections=256),
    Load(name="64 connections, 16 ahead (pipelined)", connections=64, ahead=16),
    Load(name="256 connections, 35 tokens", connections=256, flags=()),
    Load(name="256 connections, 35 tokens, streamed", connections=256, flags=(), streams=True),
    Load(name="256 connections, a journal", connections=256, flags=(*TINY, "--journal", os.devnull)),
    Load(name="256 connections, 20 ms", connections=256, flags=(*TINY, "--latency-ms", "20", "--latency-sigma", "0.5")),
    Load(name="256 connections, vllm", connections=256, flags=(*TINY, "--time", "vllm", "--decode-rate", "5000")),
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of three rounds of each load")
    options = parser.parse_args()
    if options.quick:
        options.seconds = 0.2
    cores = sorted(os.sched_getaffinity(0))
    rows = [measured(load, options.seconds, cores) for load in LOADS]
    best = max(row["requests / s"] for row in rows if "tokens" not in row["load"])
    verdict = f"- tiny replies: {best:.0f} requests/s on one core (target {TARGET})"
    Report(
        name="mock",
        command=f"python -m bench.mock --seconds {options.seconds:g}",
        rows=rows,
        notes=[verdict, "", "Medians of three rounds. `a core` is what its CPU time would make on a core of its own."],
    ).show(save=options.save)


def measured(load: Load, seconds: float, cores: Sequence[int]) -> dict[str, Any]:
    """A line of the table."""
    with serving(*load.flags) as (port, pid):
        os.sched_setaffinity(pid, cores[:1])
        os.sched_setaffinity(0, cores[-1:])
        try:
            with Generator(port, load) as generator:
                generator.run(seconds / 4)
                rounds = [timed(generator, pid, seconds) for _ in range(3)]
        finally:
            os.sched_setaffinity(0, cores)
    rates, costs = zip(*rounds, strict=True)
    return {
        "load": load.name,
        "requests / s": median(rates),
        "CPU ms / request": 1000 * median(costs),
        "requests / s a core": 1 / median(costs),
    }


@contextmanager
def serving(*flags: str) -> Iterator[tuple[int, int]]:
    """Start the server; its port and its process."""
    command = [sys.executable, "-m", "star_agents", "mock-server", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101  # it was asked for
            url = server.stdout.readline().split()[-1]
            yield int(url.split(":")[-1].split("/")[0]), server.pid
        finally:
            server.terminate()


def timed(generator: "Generator", pid: int, seconds: float) -> tuple[float, float]:
    """Replies a second, and the server's CPU seconds a reply."""
    began_at, cpu_s = time.perf_counter(), cpu_seconds(pid)
    answered = generator.run(seconds)
    return answered / (time.perf_counter() - began_at), (cpu_seconds(pid) - cpu_s) / max(1, answered)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # no file of ours
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Generator:
    """Keeps every connection at its number of requests under way, and counts heads of replies."""

    def __init__(self, port: int, load: Load) -> None:
        self._load = load
        self._numbers = count()
        self._end = b"[DONE]" if load.streams else ANSWER
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(load.connections)]
        self._by_number = {each.fileno(): each for each in self._sockets}
        self._rest = dict.fromkeys(self._by_number, b"")
        self._poll = select.epoll()

    def __enter__(self) -> Self:
        for connection in self._sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(self._requests(self._load.ahead))
            self._poll.register(connection.fileno(), select.EPOLLIN)
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for connection in self._sockets:
            connection.close()

    def run(self, seconds: float) -> int:
        """Go on for so long; the replies that came."""
        until, answered = time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            for number, _ in self._poll.poll(0.1):
                answered += self._turn(number)
        return answered

    def _turn(self, number: int) -> int:
        """Take what has come on a connection and send as many requests as replies have."""
        connection = self._by_number[number]
        data = self._rest[number] + connection.recv(262_144)
        ended = data.count(self._end)
        self._rest[number] = data[max(len(data) - len(self._end) + 1, data.rfind(self._end) + len(self._end)) :]
        if ended:
            connection.sendall(self._requests(ended))
        return ended

    def _requests(self, many: int) -> bytes:
        return b"".join(self._request() for _ in range(many))

    def _request(self) -> bytes:
        number = next(self._numbers)
        stream = b', "stream": true' if self._load.streams else b""
        body = b'{"model": "m", "max_tokens": 64, "seed": %d, "messages": [{"role": "user", "content": "Say %d"}]%b}'
        body = body % (number, number, stream)
        return HEAD % len(body) + body


if __name__ == "__main__":
    main()
