"""A whole run as a process of its own, against a mock endpoint that is another, to be killed at will."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from star_agents.mock.journal import Entry, read_journal, sends
from star_agents.service.run.address import read_address
from star_agents.storage.database import reader
from star_agents.storage.folder import RunFolder
from tests.scoring.tiny import save_tiny, save_tiny_embedder

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
NUM_SEEDS = 24

started: list[subprocess.Popen[str]] = []
"""Every run of a test, for the fixture that ends what a failed test leaves running."""


def wait_for(state: Callable[[], bool], what: str) -> None:
    """Wait until another process has come to a state; a file or a pid is all that can be looked at."""
    deadline = time.monotonic() + PATIENCE_S
    while not state():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


@dataclass(frozen=True)
class Endpoint:
    """The mock endpoint, and the journal of what it served."""

    base_url: str
    journal: Path
    server: "subprocess.Popen[bytes]"

    def sends(self) -> Counter[str]:
        """How often each request was sent, by its content, up to now."""
        if self.server.poll() is None:  # the journal of one that has ended is whole
            with urlopen(f"{self.base_url.removesuffix('/v1')}/mock/flush") as reply:  # noqa: S310  # our own server
                assert reply.status == 200
        return sends(read_journal(self.journal))

    def entries(self) -> list[Entry]:
        """The journal up to now."""
        self.sends()
        return list(read_journal(self.journal))


def recorded(run_dir: Path) -> int:
    """Replies that are in the store of a run."""
    if not RunFolder(run_dir).is_begun():
        return 0
    with reader(RunFolder(run_dir).database) as connection:
        return len(connection.execute("SELECT 1 FROM reply").fetchall())


@contextmanager
def mock_endpoint(folder: Path, *arguments: str) -> Iterator[Endpoint]:
    """Start `star-agents mock-server` and stop it in the end."""
    port_file, journal = folder / "port", folder / "journal.jsonl"
    files = ["--port-file", str(port_file), "--journal", str(journal)]
    command = [sys.executable, "-m", "star_agents", "mock-server", "--port", "0", *files, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: port_file.exists() and port_file.read_text().strip().isdigit(), "the mock endpoint")
            yield Endpoint(f"http://127.0.0.1:{port_file.read_text().strip()}/v1", journal, server)
        finally:
            server.terminate()


def tiny_models(folder: Path) -> dict[str, str]:
    """Folders of two random scorers and a random embedder."""
    return {
        "small": save_tiny(folder / "small", seed=1),
        "large": save_tiny(folder / "large", seed=2),
        "embedder": save_tiny_embedder(folder / "embedder"),
    }


@dataclass(frozen=True, slots=True)
class InFlight:
    """Calls that one start sent and that are not recorded, at its kill."""

    out: int
    """Not answered yet."""
    answered: int
    """Answered, and the reply was lost with the process."""

    @property
    def total(self) -> int:
        return self.out + self.answered


@dataclass
class Run:
    """A run of the quickstart against an endpoint; every start but the first resumes."""

    folder: Path
    endpoint: Endpoint
    models: dict[str, str] | None = None
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    starts: int = 0

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def config(self) -> Path:
        """The quickstart's config, with the mock endpoint in place of the model server."""
        config = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
        config["run"]["dir"] = str(self.run_dir)
        config["endpoints"]["smol"] = {
            "kind": "openai",
            "base_url": self.endpoint.base_url,
            "model": "m",
            "concurrency": 4,
            "retry_truncated": False,
        }
        if self.models is not None:
            config["scoring"] |= {"small": self.models["small"], "large": self.models["large"]}
            config["memory"]["embedder"] = self.models["embedder"]
        for section, change in self.changes.items():
            config.setdefault(section, {}).update(change)
        file = self.folder / "run.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; its output goes to a file that failures show."""
        resume = ["--resume"] if self.starts else []
        self.starts += 1
        command = [sys.executable, "-m", "star_agents", "serve-run", str(self.config()), *resume, *arguments]
        with (self.folder / f"output-{self.starts}.txt").open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    def is_asked(self) -> bool:
        """Does its service answer?"""
        return read_address(self.run_dir) is not None

    def output(self) -> str:
        """What the last start printed."""
        return (self.folder / f"output-{self.starts}.txt").read_text()

    def finish(self) -> None:
        """Start it and let it run to its end."""
        process = self.start()
        assert process.wait(PATIENCE_S) == 0, self.output()

    def kill_after(self, calls: int) -> InFlight:
        """Start it, SIGKILL it once so many calls were sent in this start, and return what was in flight.

        That is counted before anything is started again.
        """
        before, replies = len(self.endpoint.entries()), recorded(self.run_dir)
        requests = self.endpoint.sends().total()
        process = self.start()
        wait_for(
            lambda: process.poll() is not None or self.endpoint.sends().total() >= requests + calls,
            f"call {calls} of start {self.starts}: {self.output()}",
        )
        assert process.poll() is None, self.output()
        process.kill()
        process.wait()
        return self._in_flight(self.endpoint.entries()[before:], recorded(self.run_dir) - replies)

    def _in_flight(self, entries: list[Entry], recorded: int) -> InFlight:
        """From what the endpoint saw of one start, and how many replies that start recorded."""
        asked = {entry.fingerprint for entry in entries if entry.event == "request"}
        answered = {entry.fingerprint for entry in entries if entry.event == "reply"} & asked
        return InFlight(len(asked - answered), len(answered) - recorded)

    def rows(self) -> list[dict[str, Any]]:
        """The exported data set."""
        lines = (self.run_dir / "out" / "messages" / "train.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def dropped(self) -> list[int]:
        """Numbers of the seeds that left no row."""
        lines = (self.run_dir / "out" / "messages" / "dropped.jsonl").read_text().splitlines()
        return [json.loads(line)["seed"] for line in lines]
