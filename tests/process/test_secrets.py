"""P16 for a whole run: nothing that it writes, says or starts holds a key, whatever its endpoints do.

Each fault has an endpoint of its own with a key of its own, so a key that is found names the fault that brought it out.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from star_agents.client.connection import address_of, answered
from star_agents.core.errors import ServiceGoneError, ServiceRefusedError
from star_agents.mock.catalogue import CATALOGUE, KINDS
from star_agents.mock.catalogue.stream import KINDS as OF_STREAMS
from star_agents.mock.faults import Fault, failing
from tests.process.faulty import Faulty, faulty_servers
from tests.process.harness import PATIENCE_S, ROOT, Endpoint, Run, mock_endpoint, tiny_models, wait_for
from tests.process.reading import contents

pytestmark = pytest.mark.timeout(300)

CANARY = "sk-canary-51b7e0d2aa"
VARIABLE = "STAR_AGENTS_TEST_CANARY"
NEVER_HANDED_ON = ("OPENAI_API_KEY", "NVIDIA_API_KEY", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY")
"""Names that a child must not have, though programs of theirs read them or their prefixes."""

SMALLER = {"gzip_bomb": "30", "giant_event": "10", "slow": "0.3", "drip": "0.2"}
"""Arguments: as wrong as by default, and sooner over."""

EVERYDAY = ("reset_mid_body", "http_401", "http_500", "error_inside", "html", "null", "deep")
API = (
    *("/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/status", "/api/v1/token"),
    *("/api/v1/timeline", "/api/v1/weights", "/api/v1/weights/history", "/api/v1/endpoints", "/api/v1/rows"),
    *("/api/v1/rows/page", "/api/v1/rows/1", "/api/v1/seeds/0", "/api/v1/scores", "/api/v1/agents"),
)


def key_of(fault: str) -> str:
    """The key of the endpoint that fails so."""
    return f"{CANARY}-{fault}"


def quoting(status: int) -> Fault:
    """A server that quotes what it was sent, as some do."""
    name = f"quotes_{status}"
    words = f"you sent Bearer {key_of(name)} and {CANARY}-header"
    kind = "invalid_request_error" if status == 400 else "server_error"
    return Fault(name=name, status=status, body=failing(status, {"message": words, "type": kind}).body)


QUOTING = tuple(map(quoting, (400, 401, 429, 500)))


def faults_of(names: Iterable[str]) -> tuple[Fault, ...]:
    """From the mock server's table, and those that quote the key."""
    return (*(KINDS[name].made(SMALLER.get(name)) for name in names), *QUOTING)


@dataclass
class Watched:
    """A run of which every endpoint but the judge's fails, and all that was seen of it."""

    run: Run
    faulty: Faulty
    said: dict[str, bytes] = field(default_factory=dict)
    environs: dict[str, dict[str, str]] = field(default_factory=dict)

    def watch(self, process: "subprocess.Popen[str]") -> None:
        """Ask it for everything while it runs, and look at its processes."""
        reading = threading.Thread(target=self._follow, args=("/api/v1/events",))
        reading.start()
        wait_for(lambda: process.poll() is not None or not self.faulty.unmet(), f"unmet: {self.faulty.unmet()}")
        assert process.poll() is None, self.run.output()
        self.said |= {path: page(self.run, path) for path in API}
        self._look_at(process.pid)
        process.send_signal(signal.SIGUSR1)
        wait_for((self.run.run_dir / "logs" / "stacks-1.txt").exists, "the stacks")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, self.run.output()
        reading.join()

    def keep(self, *arguments: str) -> None:
        """Run a command of ours on the folder, and keep what it says."""
        command = [sys.executable, "-m", "star_agents", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, done.stderr
        self.said[" ".join(arguments[:1])] = done.stdout + done.stderr

    def hits(self, needles: Sequence[str]) -> list[str]:
        """Where any of them is found."""
        sources = [*contents(self.run.folder / "run"), *self.said.items(), *self._outputs()]
        return [f"{needle} in {name}" for name, text in sources for needle in needles if needle.encode() in text]

    def _outputs(self) -> Iterator[tuple[str, bytes]]:
        yield from ((file.name, file.read_bytes()) for file in self.run.folder.glob("output-*.txt"))

    def _look_at(self, pid: int) -> None:
        for child in psutil.Process(pid).children(recursive=True):
            with child.oneshot():
                self.environs[" ".join(child.cmdline())] = child.environ()
        self.said["command lines"] = "\n".join((*self.environs, *psutil.Process(pid).cmdline())).encode()
        self.said["limits"] = Path(f"/proc/{pid}/limits").read_bytes()

    def _follow(self, path: str) -> None:
        with answered(address_of(self.run.run_dir), "GET", path) as reply:
            self.said[path] = reply.read()


def page(run: Run, path: str) -> bytes:
    """An answer of the service, a refusal as well."""
    try:
        with answered(address_of(run.run_dir), "GET", path) as reply:
            return bytes(reply.read())
    except (ServiceRefusedError, ServiceGoneError) as refused:
        return str(refused).encode()


def engine(folder: Path) -> str:
    """An interpreter whose vLLM is a stand-in."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.endpoints.fake_engine "$@"\n')
    python.chmod(0o700)
    return str(python)


def faulty_run(folder: Path, judge: Endpoint, faulty: Faulty) -> Run:
    """A config with an agent for every fault, and one on a model server of ours."""
    models = tiny_models(folder)
    streams = {kind.name for kind in OF_STREAMS}
    endpoints: dict[str, dict[str, Any]] = {
        name: {
            "kind": "openai",
            "base_url": faulty.base_url(name),
            "model": "m",
            "concurrency": 2,
            "api_key": f"${{{VARIABLE}_{name.upper()}}}",
            "headers": {"X-Project": f"${{{VARIABLE}}}"},
            "stream": name in streams or number % 2 == 0,
            "timeouts": {"connect_s": 1.0, "first_byte_s": 1.0, "idle_s": 1.0, "total_s": 3.0},
        }
        for number, name in enumerate(faulty.servers)
    }
    (folder / "m").symlink_to(models["small"])  # the stand-in serves a model of that name
    endpoints["ours"] = {"kind": "local", "engine": "vllm", "model": str(folder / "m"), "python": engine(folder)}
    agents = {name: {"endpoint": name, "prompt": "answer", "max_tokens": 32} for name in endpoints}
    seeds = folder / "seeds.jsonl"
    texts = ({"instruction": f"Name {number} rivers.", "input": "", "output": "None."} for number in range(1000))
    seeds.write_text("".join(json.dumps(text) + "\n" for text in texts))
    run = Run(folder, judge, models)
    run.config()
    config = yaml.safe_load((folder / "run.yaml").read_text())
    response = config["agents"]["response"] | agents
    run.changes = {
        "seeds": {"path": str(seeds)},
        "endpoints": endpoints,
        "agents": {"response": response},
        "pairs": {"pool": [["keep", name] for name in agents]},
        "sampling": {"pairs_per_seed": min(8, len(agents)), "from_memory": 0, "max_in_flight": 24},
        "service": {"drain_s": 3.0},
    }
    return run


def set_keys(names: Iterable[str], patch: pytest.MonkeyPatch) -> None:
    """Each endpoint's key, one header for all, and keys that other programs would know by name."""
    patch.setenv(VARIABLE, f"{CANARY}-header")
    for name in names:
        patch.setenv(f"{VARIABLE}_{name.upper()}", key_of(name))
    for name in NEVER_HANDED_ON:
        patch.setenv(name, f"{CANARY}-{name}")


def keys_in(environs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Which child has what of ours."""
    return [f"{name} in {line}" for line, environ in environs.items() for name in environ if CANARY in environ[name]]


@pytest.mark.parametrize(
    "names",
    [pytest.param(EVERYDAY, id="some faults"), pytest.param(tuple(CATALOGUE), id="all", marks=pytest.mark.slow)],
)
@pytest.mark.fault("F-21")
def test_a_run_leaves_no_key_behind(names: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every endpoint fails in its own way, with DEBUG; then all that was written, said and started is looked at."""
    faults = faults_of(names)
    set_keys((fault.name for fault in faults), monkeypatch)
    with mock_endpoint(tmp_path) as judge, faulty_servers(faults) as faulty:
        watched = Watched(faulty_run(tmp_path, judge, faulty), faulty)
        process = watched.run.start("--debug")
        wait_for(lambda: process.poll() is not None or bool(watched.run.is_asked()), watched.run.output())
        watched.watch(process)
        folder = str(watched.run.run_dir)
        watched.keep("report", folder)
        watched.keep("export", folder, "--format", "parquet", "--candidates")
        watched.keep("status", folder)
        watched.keep("doctor", "--run", folder)

    assert watched.hits([CANARY]) == []
    assert keys_in(watched.environs) == []
    kinds = ("star_agents.scoring.worker", "tests.endpoints.fake_engine", "orphans")
    assert [kind for kind in kinds if not any(kind in line for line in watched.environs)] == []
    assert b"Max core file size        0 " in watched.said["limits"]
    assert b"data: " in watched.said["/api/v1/events"]


def test_the_look_sees(tmp_path: Path) -> None:
    """A key in a packed cell of a database, in a Parquet file, in a log or in a child's environment would be found."""
    import sqlite3

    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    packed = zstandard.compress(f"{' '.join(map(str, range(3000)))} {CANARY}".encode())
    assert CANARY.encode() not in packed
    connection = sqlite3.connect(tmp_path / "run.db")
    connection.execute("CREATE TABLE reply (body BLOB)")
    connection.execute("INSERT INTO reply VALUES (?)", (packed,))
    connection.commit()
    connection.close()
    pq.write_table(pa.table({"body": [packed]}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "a.log").write_text(CANARY)
    found = {name for name, content in contents(tmp_path) if CANARY.encode() in content}
    assert found == {"run.db, reply", "a.parquet, body", "a.log"}
    assert keys_in({"python": {"A": CANARY, **dict(os.environ)}}) == ["A in python"]
