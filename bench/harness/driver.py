"""A client under measurement as seen from the benchmark: a process to start, to ask for rounds, and to end.

A client that cannot be started or dies in a round is a reason in a table, never an exception and never a gap.
"""

import json
import select
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from bench.clients.contract import Setup
from bench.harness.venvs import environment, interpreter

ROOT = Path(__file__).parents[2]
STOP_S = 5.0
ROUND_S = 3600.0
"""No round is waited for longer, whatever it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A client by name: its driver in `bench/clients`, and the venv it lives in (None is ours)."""

    name: str
    module: str
    venv: str | None = None


class ClientDiedError(Exception):
    """The driver ended, or never came up; the last line it wrote says why."""


class ClientTooSlowError(ClientDiedError):
    """The round was not over in time, and will not be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a driver measured of itself; seconds and MiB."""

    cpu_s: float
    wall_s: float
    rss_mb: float
    answered: int
    failed: int
    more: dict[str, Any]

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a request that was asked."""
        return 1000 * self.cpu_s / (self.answered + self.failed)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.wall_s


class Driver:
    """A running client; `versions` are those of its packages."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log
        self.versions: dict[str, str] = self._read()

    def round(self, first: int, count: int, *, limit_s: float = ROUND_S) -> Round:
        """Ask requests `first` and on, and wait for the measurement, at most so many seconds.

        Raises:
            ClientDiedError: there will be none.
            ClientTooSlowError: it did not come in time; the client is of no more use.
        """
        try:
            _pipe(self._process.stdin).write(json.dumps({"first": first, "count": count}) + "\n")
            _pipe(self._process.stdin).flush()
        except BrokenPipeError:
            raise ClientDiedError(self._last_words()) from None
        readable, _, _ = select.select([_pipe(self._process.stdout)], [], [], limit_s)
        if not readable:
            raise ClientTooSlowError(f"not done within {limit_s:.0f} s")
        return Round(**self._read())

    def _read(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise ClientDiedError(self._last_words())
        read: dict[str, Any] = json.loads(line)
        return read

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else "it said nothing"

    @classmethod
    @contextmanager
    def started(cls, kind: Kind, setup: Setup) -> Iterator[Self]:
        """Start a client, warm it up, and end it in the end. It writes its log and its files in `setup.folder`.

        Raises:
            ClientDiedError: it did not come up.
        """
        python = interpreter(kind.venv)
        if not python.exists():
            raise ClientDiedError(f"no venv: python -m bench.harness.venvs {kind.venv}")
        Path(setup.folder).mkdir(parents=True, exist_ok=True)
        log = Path(setup.folder, "log.txt")
        command = [python, "-m", f"bench.clients.{kind.module}", json.dumps(asdict(setup))]
        environ = {**environment(), "HF_HOME": setup.folder}  # what a library remembers, it learnt in this run
        with log.open("w") as errors, _process(command, errors, environ) as process:
            yield cls(process, log)


@contextmanager
def _process(command: list[Any], errors: IO[str], environ: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A child whose end of input is its end; killed where it does not see that."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    try:
        yield process
    finally:
        _pipe(process.stdin).close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # noqa: S101  # both were asked for
    return stream
