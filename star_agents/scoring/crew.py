"""Every request put to a crew of workers is settled once: by a reply, or by the reason why there is none.

A crew keeps its workers alive. When one dies another is started in its place, and the request that it was computing
goes to whoever is free, until that request has cost its share of lives. Requests wait in one line, and the worker that
holds least takes the next. Whoever stops waiting for a request leaves the crew as it was.
"""

import asyncio
import logging
from asyncio import Future, Task, TaskGroup
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Self

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.scoring.child import ChildPlan, open_child
from star_agents.scoring.messages import Ready, Request
from star_agents.scoring.post import Job, Post

_log = logging.getLogger(__name__)

AUTO = "auto"

MAX_DEATHS_IN_A_ROW = 16
"""So many at one post without a reply between them are no fault of single requests: the post is given up."""

_LONGEST_PAUSE_S = 30.0
"""Between two workers of a post at which one after the other dies."""

MakePlan = Callable[[int, str], ChildPlan]
"""How to start worker number n on a device."""


class CrewState(StrEnum):
    """Where a crew is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    CLOSED = "closed"


class Crew:
    """An async context manager, entered when every worker has loaded its models.

    `devices` are names that torch knows; `auto` is the worker's choice, and where that is a GPU, every other
    GPU gets workers as well. There are `per_device` on each.

    Raises (on entering):
        ScorerError: a worker cannot load its models.
    """

    def __init__(self, make_plan: MakePlan, devices: tuple[str, ...], *, per_device: int = 1) -> None:
        self._make_plan = make_plan
        self._devices = devices
        self._per_device = per_device
        self._line: deque[Job] = deque()
        self._unsettled: set[Job] = set()
        self._group = TaskGroup()
        self._tasks: list[Task[None]] = []
        self._posts: list[Post] = []
        self._num_posts_lost = 0
        self._over: ScorerError | None = None
        self._state = CrewState.STARTING
        self.restarts = 0
        self.fingerprint: Mapping[str, str] = {}
        """What its newest worker said of itself."""

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
        if self._state is CrewState.READY and sum(post.is_up for post in self._posts) < self.num_workers:
            return CrewState.RESTARTING
        return self._state

    @property
    def queued(self) -> int:
        """Requests that no worker has taken yet."""
        return len(self._line)

    @property
    def busy(self) -> int:
        """Workers that are computing."""
        return sum(post.load > 0 for post in self._posts)

    @property
    def num_workers(self) -> int:
        """Workers at their posts, dead ones that are being replaced included."""
        return len(self._posts) - self._num_posts_lost

    def submit(self, request: Request, *, lives: int = 2, is_part: bool = False) -> Job:
        """Put a request in line; await the job's `outcome`, or cancel that to take the request back.

        `is_part`: it is a part of a request that has killed its workers (`post.Job`).
        """
        job = Job(request, asyncio.get_running_loop().create_future(), lives, is_part)
        if self._over:
            job.settle(self._over)
            return job
        self._unsettled.add(job)
        job.outcome.add_done_callback(lambda _: self._forget(job))
        self._line.append(job)
        self._hand_out()
        return job

    def _forget(self, job: Job) -> None:
        """A job is settled, or nobody waits for it any more."""
        self._unsettled.discard(job)
        for post in self._posts:
            post.withdraw(job)

    def _hand_out(self) -> None:
        """Give what waits to those who have room, in order, each to the one that holds least."""
        while self._line:
            job = self._line[0]
            free = [post for post in self._posts if post.has_room_for(job)]
            if not job.outcome.done() and not free:
                return
            self._line.popleft()
            if not job.outcome.done():
                min(free, key=lambda post: post.load).take(job)

    async def _man_all(self) -> None:
        """Start every worker, all at a time, and wait until each is ready; the first says what `auto` means."""
        devices = self._devices * self._per_device
        if AUTO in self._devices:
            first = await _ready(self._man(AUTO))
            kind = first.device.partition(":")[0]
            others = tuple(f"{kind}:{number}" for number in range(1, first.device_count))
            devices = ((first.device, *others) * self._per_device)[1:]
        for greeting in [self._man(device) for device in devices]:
            await _ready(greeting)

    def _man(self, device: str) -> "Future[Ready | ScorerError]":
        """Take up a post; the future tells how its first worker fared."""
        greeting: Future[Ready | ScorerError] = asyncio.get_running_loop().create_future()
        post = Post(len(self._posts), device)
        self._posts.append(post)
        self._tasks.append(self._group.create_task(self._keep(post, greeting)))
        return greeting

    async def _keep(self, post: Post, greeting: "Future[Ready | ScorerError]") -> None:
        """Keep a worker at a post until none can be started there, or too many have died."""
        try:
            while True:
                await self._work(post, greeting)
                self.restarts += 1
                await asyncio.sleep(_pause_s(post.deaths_in_a_row))
        except ScorerError as error:
            if not greeting.done():
                greeting.set_result(error)
            self._lose(error)

    async def _work(self, post: Post, greeting: "Future[Ready | ScorerError]") -> None:
        """Start a worker and have it answer requests until it dies.

        Raises:
            ScorerError: it cannot be started, or it was one death too many.
        """
        try:
            async with open_child(self._make_plan(post.number, post.device)) as (child, ready):
                post.device, self.fingerprint = ready.device, ready.fingerprint
                post.open(child)
                if not greeting.done():
                    greeting.set_result(ready)
                await self._serve(post)
        except WorkerDiedError as death:
            if not greeting.done():
                raise  # what dies of its first loading will die again
            self._mourn(post, death)

    async def _serve(self, post: Post) -> None:
        """Answer requests until the worker dies."""
        try:
            while True:
                self._hand_out()
                await post.serve_one()
        except WorkerDiedError as death:
            self._mourn(post, death)  # at once: a worker that is gone must be given nothing more
        finally:
            post.close()

    def _mourn(self, post: Post, death: WorkerDiedError) -> None:
        """Charge a death to the request that was being computed; what waited behind it is not to blame.

        Raises:
            ScorerError: too many died here in a row.
        """
        _log.warning("scorer worker died: device=%s %s", post.device, death)
        held = post.close()
        self._line.extendleft(reversed(held))
        if not held or not held[0].is_part:
            post.deaths_in_a_row += 1
        if held:
            held[0].deaths += 1
            if held[0].deaths >= held[0].lives:
                held[0].settle(death)
        if post.deaths_in_a_row >= MAX_DEATHS_IN_A_ROW:
            raise ScorerError(f"{MAX_DEATHS_IN_A_ROW} scoring processes died in a row; the last: {death}")
        self._hand_out()

    def _lose(self, error: ScorerError) -> None:
        """Give up a post; others take over its work, and with the last one the crew is over."""
        _log.error("scorer post lost: %s", error)
        self._num_posts_lost += 1
        if self.num_workers == 0:
            self._finish(CrewState.FAILED, error)
        else:
            self._hand_out()

    async def _disband(self, state: CrewState) -> None:
        """End every worker and settle what is left."""
        for task in self._tasks:
            task.cancel()
        # Not handed the body's error: a task group would wrap it, and it is none of the group's.
        await self._group.__aexit__(None, None, None)
        self._finish(state, ScorerError("the scorer is closed"))

    def _finish(self, state: CrewState, error: ScorerError) -> None:
        """Settle what is open, and all that will still be submitted."""
        self._state = state
        self._over = self._over or error
        for job in tuple(self._unsettled):
            job.settle(error)


def _pause_s(num_deaths: int) -> float:
    """None after the first death, then about doubling."""
    return min(_LONGEST_PAUSE_S, 0.25 * (2.0 ** max(0, num_deaths - 1) - 1.0))


async def _ready(greeting: "Future[Ready | ScorerError]") -> Ready:
    """Wait for a worker's first words."""
    outcome = await greeting
    if isinstance(outcome, ScorerError):
        raise outcome
    return outcome
