"""Every request put to a crew of workers is settled once: by a reply, or by the reason why there is none.

A crew keeps one worker a device alive. When a worker dies another is started in its place, and gets the request
that the first one held, until that request has cost its share of lives. Requests wait in one line, so any free
worker takes the next. Whoever stops waiting for a request leaves the crew as it was.
"""

import asyncio
import logging
from asyncio import Future, Queue, Task, TaskGroup
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.scoring.child import Child, ChildPlan, open_child
from star_agents.scoring.messages import Ready, Reply, Request

_log = logging.getLogger(__name__)

AUTO = "auto"

MAX_DEATHS_IN_A_ROW = 16
"""So many without a reply between them are no fault of single requests: the crew gives up."""

Outcome = Reply | ScorerError
"""What becomes of a request. A failure is a value here, so that one nobody waits for any more is no loose exception."""

MakePlan = Callable[[int, str], ChildPlan]
"""How to start worker number n on a device."""


class CrewState(StrEnum):
    """Where a crew is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way. Once `lives` workers have died of it, it is settled by the last one's death."""

    request: Request
    lives: int
    outcome: "Future[Outcome]"

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits, if anybody still does."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Crew:
    """An async context manager, entered when every worker has loaded its models.

    `devices` are names that torch knows; `auto` is the worker's choice, and where that is a GPU, every other
    GPU gets a worker as well.

    Raises (on entering):
        ScorerError: a worker cannot load its models.
    """

    def __init__(self, make_plan: MakePlan, devices: tuple[str, ...]) -> None:
        self._make_plan = make_plan
        self._devices = devices
        self._queue: Queue[Job] = Queue()
        self._unsettled: set[Job] = set()
        self._group = TaskGroup()
        self._posts: list[Task[None]] = []
        self._num_posts_lost = 0
        self._num_up = 0
        self._deaths_in_a_row = 0
        self._over: ScorerError | None = None
        self._state = CrewState.STARTING
        self.restarts = 0
        self.busy = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        try:
            await self._man_all()
        except BaseException:
            await self._disband(CrewState.FAILED)
            raise
        self._state = CrewState.READY
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disband(CrewState.CLOSED)

    @property
    def state(self) -> CrewState:
        """Where the crew is in its life; `ready` means that every worker is."""
        if self._state is CrewState.READY and self._num_up < self.num_workers:
            return CrewState.RESTARTING
        return self._state

    @property
    def queued(self) -> int:
        """Requests that no worker has taken yet."""
        return self._queue.qsize()

    @property
    def num_workers(self) -> int:
        """Workers at their posts, dead ones that are being replaced included."""
        return len(self._posts) - self._num_posts_lost

    def submit(self, request: Request, *, lives: int = 2) -> Job:
        """Put a request in line; await the job's `outcome`, or cancel that to take the request back."""
        job = Job(request, lives, asyncio.get_running_loop().create_future())
        if self._over:
            job.settle(self._over)
            return job
        self._unsettled.add(job)
        job.outcome.add_done_callback(lambda _: self._unsettled.discard(job))
        self._queue.put_nowait(job)
        return job

    async def _man_all(self) -> None:
        """Start a worker on every device, all at a time, and wait until each is ready."""
        greetings = [self._man(device) for device in self._devices]
        if self._devices == (AUTO,):
            first = await _ready(greetings.pop())
            kind = first.device.partition(":")[0]
            greetings = [self._man(f"{kind}:{number}") for number in range(1, first.device_count)]
        for greeting in greetings:
            await _ready(greeting)

    def _man(self, device: str) -> "Future[Ready | ScorerError]":
        """Take up a post; the future tells how its first worker fared."""
        greeting: Future[Ready | ScorerError] = asyncio.get_running_loop().create_future()
        self._posts.append(self._group.create_task(self._keep(len(self._posts), device, greeting)))
        return greeting

    async def _keep(self, number: int, device: str, greeting: "Future[Ready | ScorerError]") -> None:
        """Keep a worker at a post until none can be started there, or the crew gives up."""
        job: Job | None = None
        try:
            while True:
                async with open_child(self._make_plan(number, device)) as (child, ready):
                    if not greeting.done():
                        greeting.set_result(ready)
                    device = ready.device
                    job = await self._work(child, job)
                self.restarts += 1
        except ScorerError as error:
            if not greeting.done():
                greeting.set_result(error)
            self._lose(job, error)

    async def _work(self, child: Child, job: Job | None) -> Job | None:
        """Answer requests, `job` first, until the worker dies; return the request to try again with the next."""
        self._num_up += 1
        try:
            while True:
                job = job or await self._queue.get()
                if not job.outcome.done():
                    await self._answer(child, job)
                job = None
        except WorkerDiedError as death:
            return self._mourn(job, death) if job else None
        finally:
            self._num_up -= 1

    async def _answer(self, child: Child, job: Job) -> None:
        """Put one request to a worker."""
        self.busy += 1
        try:
            job.settle(await child.ask(job.request))
        finally:
            self.busy -= 1
        self._deaths_in_a_row = 0

    def _mourn(self, job: Job, death: WorkerDiedError) -> Job | None:
        """Charge a death to the request that the worker held; return it if it has a life left.

        Raises:
            ScorerError: too many died in a row; everybody has been told.
        """
        _log.warning("scorer worker died: %s", death)
        job.lives -= 1
        self._deaths_in_a_row += 1
        if job.lives == 0:
            job.settle(death)
        if self._deaths_in_a_row >= MAX_DEATHS_IN_A_ROW:
            error = ScorerError(f"{MAX_DEATHS_IN_A_ROW} scoring processes died in a row; the last: {death}")
            self._finish(CrewState.FAILED, error)
            raise error
        return job if job.lives else None

    def _lose(self, job: Job | None, error: ScorerError) -> None:
        """Give up a post; others take over its work, and with the last one the crew is over."""
        _log.error("scorer post lost: %s", error)
        self._num_posts_lost += 1
        if self.num_workers == 0:
            self._finish(CrewState.FAILED, error)
        elif job:
            self._queue.put_nowait(job)

    async def _disband(self, state: CrewState) -> None:
        """End every worker and settle what is left."""
        for post in self._posts:
            post.cancel()
        # Not handed the body's error: a task group would wrap it, and it is none of the group's.
        await self._group.__aexit__(None, None, None)
        self._finish(state, ScorerError("the scorer is closed"))

    def _finish(self, state: CrewState, error: ScorerError) -> None:
        """Settle what is open, and all that will still be submitted."""
        self._state = state
        self._over = self._over or error
        for job in tuple(self._unsettled):
            job.settle(error)


async def _ready(greeting: "Future[Ready | ScorerError]") -> Ready:
    """Wait for a worker's first words."""
    outcome = await greeting
    if isinstance(outcome, ScorerError):
        raise outcome
    return outcome
