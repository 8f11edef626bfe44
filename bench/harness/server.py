"""The servers that clients are measured against: `star-agents mock-server`, on free ports, with a journal each."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.harness.journal import Journal

ROOT = Path(__file__).parents[2]
START_S = 20.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs: what clients call, and where it writes what it served."""

    url: str
    journal_file: Path | None

    def num_served(self) -> int:
        """Right replies so far."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/mock/stats") as reply:  # noqa: S310  # loopback
            return int(json.load(reply)["served"])

    def journal(self) -> Journal:
        """What it served; whole once the server has ended."""
        if self.journal_file is None:
            raise RuntimeError("this server keeps no journal")
        return Journal.read(self.journal_file)


@contextmanager
def serving(*flags: str, journal: Path | None = None) -> Iterator[Serving]:
    """Run one server within the block; the flags are those of its command line."""
    with TemporaryDirectory() as folder:
        port_file = Path(folder, "port")
        command = [sys.executable, "-m", "star_agents", "mock-server", "--port", "0", "--port-file", str(port_file)]
        command += ["--journal", str(journal)] if journal else []
        with _child([*command, *flags]) as process:
            yield Serving(f"http://127.0.0.1:{_port(port_file, process)}/v1", journal)


@contextmanager
def serving_all(servers: Sequence[Sequence[str]], folder: Path) -> Iterator[list[Serving]]:
    """Run several, by their flags, with journals in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = [folder / f"journal{number}.jsonl" for number in range(len(servers))]
        yield [stack.enter_context(serving(*flags, journal=file)) for flags, file in zip(servers, files, strict=True)]


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port(file: Path, process: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + START_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not come up")
        time.sleep(0.02)
    return int(file.read_text())


@contextmanager
def _child(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
