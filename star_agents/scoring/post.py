"""A worker's place: the worker that is there now, and the requests it holds, answered in the order they were given.

A worker holds two at most: while its device computes the first, the second is tokenized. So when it dies, the first
is what it died of. A request that has killed before is held alone, so that there is no doubt about the next time.
"""

import asyncio
from asyncio import Future, TimerHandle
from collections import deque
from dataclasses import dataclass

from star_agents.core import clock
from star_agents.core.errors import ScorerError
from star_agents.scoring.child import Child, Sent
from star_agents.scoring.messages import HELD_AT_MOST, Reply, Request
from star_agents.scoring.patience import Patience

Outcome = Reply | ScorerError
"""What becomes of a request. A failure is a value here, so that one nobody waits for any more is no loose exception."""


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way. Once `lives` workers have died of it, it is settled by the last one's death.

    `is_part` marks a part of a request that has killed: its deaths are expected, and say nothing of the worker.
    """

    request: Request
    outcome: "Future[Outcome]"
    lives: int = 2
    is_part: bool = False
    deaths: int = 0

    @property
    def is_suspect(self) -> bool:
        """True where a worker has died of it, or of what it is a part of."""
        return self.is_part or self.deaths > 0

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits, if anybody still does."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass(slots=True, eq=False)
class _Held:
    """A job at a worker. `begun_at` is when its turn came."""

    job: Job
    sent: Sent
    begun_at: float = 0.0


class Post:
    """Keeps the requests of one worker after another in order, and a watch on the one that is being computed."""

    def __init__(self, number: int, device: str) -> None:
        self.number = number
        self.device = device
        self.deaths_in_a_row = 0
        """Workers that have died here without a reply between them, parts left out."""
        self._child: Child | None = None
        self._held: deque[_Held] = deque()
        self._patience = Patience()
        self._alarm: TimerHandle | None = None

    @property
    def is_up(self) -> bool:
        """True while a worker is here."""
        return self._child is not None

    @property
    def load(self) -> int:
        """Requests held."""
        return len(self._held)

    def has_room_for(self, job: Job) -> bool:
        """Whether the worker may be given a job now."""
        if self._child is None or not self._held:
            return self._child is not None
        return len(self._held) < HELD_AT_MOST and not job.is_suspect and not self._held[0].job.is_suspect

    def open(self, child: Child) -> None:
        """A worker is here."""
        self._child = child

    def close(self) -> list[Job]:
        """The worker is gone; return what it held, the one that was being computed first."""
        self._child = None
        jobs = [held.job for held in self._held]
        self._held.clear()
        self._watch()
        return jobs

    def take(self, job: Job) -> None:
        """Give a job to the worker."""
        assert self._child is not None  # noqa: S101  # the caller has asked `has_room_for`
        self._held.append(_Held(job, self._child.put(job.request)))
        if len(self._held) == 1:
            self._watch()

    def withdraw(self, job: Job) -> None:
        """Nobody waits for a job any more: if it is here and not yet begun, it need not be."""
        for held in list(self._held)[1:]:
            if held.job is job and self._child is not None:
                self._child.withdraw(held.sent)

    async def serve_one(self) -> None:
        """Wait for the next reply and settle what it answers.

        Raises:
            WorkerDiedError: the worker has ended, whether it held anything or not.
        """
        assert self._child is not None  # noqa: S101  # a worker is here
        reply = await self._child.receive()
        held = self._held.popleft()
        if not held.job.outcome.done():  # one that was withdrawn tells nothing of the pace
            self._patience.note(held.sent.num_bytes, clock.now() - held.begun_at)
        self.deaths_in_a_row = 0
        held.job.settle(reply)
        self._watch()

    def _watch(self) -> None:
        """Set the alarm for the request whose turn it is."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._child is not None and self._held:
            first = self._held[0]
            first.begun_at = clock.now()
            bound_s = self._patience.bound_s(first.sent.num_bytes, first.job.deaths)
            stuck = f"was stuck: no reply within {bound_s:.0f} s, and was killed"
            self._alarm = asyncio.get_running_loop().call_later(bound_s, self._child.kill, stuck)
