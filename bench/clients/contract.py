"""What a client under measurement is, and how it is measured: by itself, in a process and a venv of its own.

Law: the standard library alone is imported here, for this file runs in the venvs of all peers. CPU time is what
the kernel charged this process and the children it has waited for, threads included, between the first request
of a round and the last answer; importing, connecting and warming up are over by then.

A driver prints one JSON line when it is ready, and one for each line that it reads: `{"first": 0, "count": 1000}`.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, overload
from zlib import crc32

MAX_TOKENS = 64
"""Asked for unless the setup says otherwise; no client asks for anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An endpoint to ask, up to and with `/v1`, and the calls that may be out to it at once."""

    url: str
    model: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a driver is told when it is started. `folder` is its own, to write in."""

    targets: tuple[Target, ...]
    folder: str
    warm_up: int = 0
    batch: int = 0
    """Rows in a batch that ends before the next begins, for the clients that can be asked so; 0 has no batches."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Wishes that only one driver knows."""

    @classmethod
    def of(cls, text: str) -> "Setup":
        """The inverse of `json.dumps(asdict(...))`."""
        told = json.loads(text)
        return cls(**{**told, "targets": tuple(Target(**target) for target in told["targets"])})


@dataclass(frozen=True, slots=True)
class Job:
    """One request: its number in the run, the target it is meant for, and what is asked."""

    number: int
    target: int
    prompt: str
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many requests ended with a text, and how many without."""

    answered: int
    failed: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


class Client(Protocol):
    """The thing under measurement, open and ready."""

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """Ask everything, as concurrently as the targets' slots allow, and wait for all of it."""
        ...


Opened = Callable[[Setup], AbstractContextManager[Client]]


class Jobs(Sequence[Job]):
    """Requests no two of which are alike, made when they are looked at: a million of them take no room.

    `shares` of the extra wishes spreads them over the targets, evenly by default, and `max_tokens` is the least and
    the most that any of them asks for.
    """

    def __init__(self, setup: Setup, numbers: range) -> None:
        shares = setup.extra.get("shares") or [1] * len(setup.targets)
        self._setup = setup
        self._numbers = numbers
        self._turns = [target for target, share in enumerate(shares) for _ in range(share)]
        self._lengths: tuple[int, int] = setup.extra.get("max_tokens") or (MAX_TOKENS, MAX_TOKENS)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, which: int) -> Job: ...

    @overload
    def __getitem__(self, which: slice) -> "Jobs": ...

    def __getitem__(self, which: int | slice) -> "Job | Jobs":
        if isinstance(which, slice):
            return Jobs(self._setup, self._numbers[which])
        number = self._numbers[which]
        least, most = self._lengths
        length = least + crc32(str(number).encode()) % (most - least + 1)
        return Job(number, self._turns[number % len(self._turns)], prompt_of(number), length)


def jobs_of(setup: Setup, first: int, count: int) -> Jobs:
    """The requests of a round."""
    return Jobs(setup, range(first, first + count))


def prompt_of(number: int) -> str:
    """About 40 tokens."""
    return f"Case {number}. Explain in a few sentences what a beginner should know about subject {number} of the list."


def drive(opened: Opened, *packages: str) -> None:
    """The body of a driver's `__main__`: open the client, warm it up, and answer rounds until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not our answer
    setup = Setup.of(sys.argv[1])
    with opened(setup) as client:
        if setup.warm_up:
            client.ask(jobs_of(setup, -setup.warm_up, setup.warm_up))
        ready = {"python": sys.version.split()[0], **{name: version(name) for name in packages}}
        answers.write(json.dumps(ready) + "\n")
        for line in sys.stdin:
            answers.write(json.dumps(_round(client, jobs_of(setup, **json.loads(line)))) + "\n")


def _round(client: Client, jobs: Sequence[Job]) -> dict[str, Any]:
    cpu_before, began = _cpu_s(), time.perf_counter()
    outcome = client.ask(jobs)
    wall, cpu = time.perf_counter() - began, _cpu_s() - cpu_before
    return {"cpu_s": cpu, "wall_s": wall, "rss_mb": _rss_mb(), **asdict(outcome)}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _rss_mb() -> float:
    """Resident memory now, in MiB; the peak would be that of importing."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
