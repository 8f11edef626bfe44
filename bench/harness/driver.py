"""A client under measurement as seen from the benchmark: a process to start, to ask for rounds, and to end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bench.clients.contract import Setup
from bench.harness.child import LIMIT_S, Child, ClientDiedError
from bench.harness.venvs import environment, interpreter


@dataclass(frozen=True, slots=True)
class Kind:
    """A client by name: its driver in `bench/clients`, and the venv it lives in (None is ours)."""

    name: str
    module: str
    venv: str | None = None


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

    def __init__(self, child: Child) -> None:
        self._child = child
        self.versions: dict[str, str] = child.hello

    def round(self, first: int, count: int, *, limit_s: float = LIMIT_S) -> Round:
        """Ask requests `first` and on, and wait for the measurement; raises as `Child.ask`."""
        return Round(**self._child.ask({"first": first, "count": count}, limit_s=limit_s))

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
        folder = Path(setup.folder)
        folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [python, "-m", f"bench.clients.{kind.module}", json.dumps(asdict(setup))]
        environ = {**environment(), "HF_HOME": setup.folder}  # what a library remembers, it learnt in this run
        with Child.started(command, folder / "log.txt", environ) as child:
            yield cls(child)
