"""How long answers take: jobs go in, and come out when the model of a server says that they are done.

Law: pure state machines. Time is an argument and never runs backwards; `next_at` is when something will be done
if nothing else happens. A job is running, waiting or out, never two of them.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Protocol


class Job:
    """One answer being made. `service_s` is what it takes alone; engines that go by tokens ignore it."""

    __slots__ = ("arrived_at", "first_token_at", "is_done", "prompt_tokens", "service_s", "started_at", "tokens")

    def __init__(self, prompt_tokens: int, tokens: int, service_s: float = 0.0) -> None:
        self.prompt_tokens = prompt_tokens
        self.tokens = tokens
        """Tokens of the whole answer."""
        self.service_s = service_s
        self.arrived_at = self.started_at = self.first_token_at = 0.0
        self.is_done = False


@dataclass(frozen=True, slots=True)
class Gauges:
    """What `/metrics` and `/mock/stats` tell of an engine."""

    running: int
    waiting: int
    kv_usage: float
    preemptions: int
    running_s: float
    """Jobs running, integrated over time."""
    busy_s: float
    """The share of the engine's full throughput in use, integrated over time."""
    prefilled: float
    """Prompt tokens read so far, again after a preemption."""
    generated: float
    """Tokens written so far."""


class Engine(Protocol):
    """What a time model is."""

    def submit(self, now: float, job: Job) -> bool:
        """Take a job; True where it is done at once."""

    def advance(self, now: float) -> list[Job]:
        """Let time pass; the jobs that are done by now, in order."""

    def next_at(self) -> float | None:
        """When `advance` is due, or None while nothing runs."""

    def drop(self, now: float, job: Job) -> None:
        """Its client has gone: forget it."""

    def decoded(self, now: float, job: Job) -> int:
        """Tokens of its answer that are written so far."""

    def scale(self, now: float, factor: float) -> None:
        """From now on the engine can do so much of what it could at first."""

    def gauges(self, now: float) -> Gauges:
        """Look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Jobs take the time that they say, at most `limit` at once; the rest wait in line."""

    limit: int | None = None
    first_token_share: float = 0.2
    """Of a job's time, until the first token of a stream."""

    def engine(self) -> "SlotEngine":
        """One of these, at rest."""
        return SlotEngine(self)


class SlotEngine:
    """See `Slots`."""

    def __init__(self, model: Slots) -> None:
        self._model = model
        self._limit = model.limit
        self._ends: list[tuple[float, int, Job]] = []
        self._running: set[Job] = set()
        self._waiting: deque[Job] = deque()
        self._numbers = count()
        self._at = self._running_s = self._busy_s = 0.0
        self._prefilled = self._generated = 0

    def submit(self, now: float, job: Job) -> bool:
        """See `Engine`."""
        job.arrived_at = job.started_at = job.first_token_at = now
        if job.service_s <= 0 and not self._waiting and (self._limit is None or len(self._running) < self._limit):
            self._finish(job)
            return True
        self._settle(now)
        self._waiting.append(job)
        self._start(now)
        return False

    def advance(self, now: float) -> list[Job]:
        """See `Engine`."""
        done: list[Job] = []
        while self._ends and (self._ends[0][0] <= now or self._ends[0][2] not in self._running):
            at, _, job = heapq.heappop(self._ends)
            if job in self._running:
                self._settle(at)
                self._running.discard(job)
                self._finish(job)
                done.append(job)
                self._start(at)
        self._settle(now)
        return done

    def next_at(self) -> float | None:
        """See `Engine`."""
        return self._ends[0][0] if self._ends else None

    def drop(self, now: float, job: Job) -> None:
        """See `Engine`."""
        self._settle(now)
        if job in self._running:
            self._running.discard(job)
            self._start(now)
        elif job in self._waiting:
            self._waiting.remove(job)

    def decoded(self, now: float, job: Job) -> int:
        """See `Engine`. After the share that the first token takes, tokens come evenly."""
        if job.is_done:
            return job.tokens
        if job not in self._running or now < job.first_token_at:
            return 0
        span = job.service_s * (1 - self._model.first_token_share)
        return min(job.tokens, 1 + int((job.tokens - 1) * (now - job.first_token_at) / span)) if span else job.tokens

    def scale(self, now: float, factor: float) -> None:
        """See `Engine`. Jobs that run already run on."""
        self._settle(now)
        if self._model.limit is not None:
            self._limit = max(1, round(self._model.limit * factor))
            self._start(now)

    def gauges(self, now: float) -> Gauges:
        """See `Engine`. Without a limit it is busy while anything runs."""
        self._settle(now)
        counts = len(self._running), len(self._waiting)
        return Gauges(*counts, 0.0, 0, self._running_s, self._busy_s, self._prefilled, self._generated)

    def _finish(self, job: Job) -> None:
        job.is_done = True
        self._prefilled += job.prompt_tokens
        self._generated += job.tokens

    def _start(self, now: float) -> None:
        while self._waiting and (self._limit is None or len(self._running) < self._limit):
            job = self._waiting.popleft()
            job.started_at = now
            job.first_token_at = now + job.service_s * self._model.first_token_share
            self._running.add(job)
            heapq.heappush(self._ends, (now + job.service_s, next(self._numbers), job))

    def _settle(self, now: float) -> None:
        elapsed, self._at = max(0.0, now - self._at), max(now, self._at)
        if not self._running:
            return
        self._running_s += elapsed * len(self._running)
        self._busy_s += elapsed * min(1.0, len(self._running) / (self._limit or 1))
