"""The queue in front of one endpoint: calls go in when pace and route allow it, those of the oldest seed first.

So a seed that was begun is brought to its end before others take its place: the scorer gets work from the first
moments on, the judge's calls do not pile up behind answers that nobody waits for yet, and less is in flight.

Laws: a permit that was given is given back exactly once, cancelled or not; between entering and leaving the
block there is no other way out. Whether a call may start is decided by `Pacer` and `Router`, which know no
tasks; here it is waited for, with one timer and no polling.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Self

from star_agents.core import clock
from star_agents.core.calls import Usage
from star_agents.core.errors import CallError
from star_agents.core.place import Place
from star_agents.traffic.breaker import Breaker
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.routing import Route, Router


class RefusedError(Exception):
    """The endpoint takes no calls now and is not worth waiting for; `error` says why."""

    def __init__(self, error: CallError) -> None:
        super().__init__(str(error))
        self.error = error


class Permit:
    """The right to make one call, on `route`, from `sent_at` on; held for as long as its block runs.

    Inside the block say how the call ended: `answered`, `turned_down` or `failed`. Saying none of them (a cancelled
    call) proves nothing about the replica. A call that has ended and has a `place` goes on counting until it is left.
    """

    __slots__ = (
        "_admission",
        "avoid",
        "is_settled",
        "max_output",
        "place",
        "route",
        "seed",
        "sent_at",
        "tokens",
        "used",
    )

    route: Route
    sent_at: float
    """Set when the permit is given."""

    def __init__(
        self,
        admission: "Admission",
        tokens: int,
        max_output: int,
        seed: int,
        avoid: int | None,
        place: Place | None,
    ) -> None:
        self._admission = admission
        self.tokens = tokens
        self.max_output = max_output
        self.seed = seed
        self.avoid = avoid
        self.place = place
        self.is_settled = False
        self.used: Usage | None = None

    def answered(self, now: float, used: Usage) -> None:
        """The replica answered with so many tokens."""
        self.used, self.is_settled = used, True
        self._worked(now)
        self._admission.pacer.succeeded(now, self.sent_at, used.output_tokens)

    def turned_down(self, now: float, used: Usage) -> None:
        """The replica works, and gave nothing of use."""
        self.used, self.is_settled = used, True
        self._worked(now)

    def failed(self, now: float, *, is_fatal: bool = False) -> None:
        """The replica did not answer; `is_fatal`: and will not before somebody mends something."""
        self.is_settled = True
        num_out = self._admission.router.in_flight[self.route.replica]
        self._breaker.fail(now, is_probe=self.route.is_probe, is_fatal=is_fatal, num_out=num_out)

    def abandon(self) -> None:
        """Count for nothing, if none of them was said."""
        if self.route.is_probe and not self.is_settled:
            self._breaker.abandon_probe()

    @property
    def has_place(self) -> bool:
        """The call was sent before, and counts still."""
        return self.place is not None and self.place.is_kept

    def take_up_place(self) -> None:
        """Count it among those that are out again."""
        assert self.place is not None  # noqa: S101  # asked for only where it has one
        self.place.take_up()
        self._admission.pacer.let_go()

    def _worked(self, now: float) -> None:
        self._breaker.succeed(now, is_probe=self.route.is_probe)
        self._admission.router.note_progress(now, self.route.replica)

    @property
    def _breaker(self) -> Breaker:
        return self._admission.router.breakers[self.route.replica]

    async def __aenter__(self) -> Self:
        await self._admission.enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.leave(self)


class Admission:
    """Hands out the permits of one endpoint. `refusal` tells, at a time, whether to turn callers away."""

    def __init__(self, pacer: Pacer, router: Router, refusal: Callable[[float], CallError | None]) -> None:
        self.pacer = pacer
        self.router = router
        self._refusal = refusal
        self._waiters: list[tuple[int, int, Permit, asyncio.Future[None]]] = []
        """A heap, by seed and then by arrival."""
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return sum(not waiter.done() for *_, waiter in self._waiters)

    def permit(
        self,
        tokens: int,
        max_output: int = 0,
        seed: int = 0,
        avoid: int | None = None,
        place: Place | None = None,
    ) -> Permit:
        """A permit, to be entered, for a call of about `tokens` tokens, of which its answer takes at most `max_output`.

        Prompts of one `seed` begin alike, so its calls go where the first went. `avoid` is a replica to keep away from.
        A call that has kept its `place` is next.
        """
        return Permit(self, tokens, max_output, seed, avoid, place)

    async def enter(self, permit: Permit) -> None:
        """Wait until the call may start, then count it in.

        Raises:
            RefusedError: it may not, and should not wait.
        """
        if (permit.has_place or not self._waiters) and self._wait_s(permit) == 0.0:
            return
        waiter = asyncio.get_running_loop().create_future()
        heappush(self._waiters, (-1 if permit.has_place else permit.seed, next(self._arrivals), permit, waiter))
        self.let_in()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:  # let in, and cancelled in the same breath
                self.leave(permit)
            raise

    def leave(self, permit: Permit) -> None:
        """Count the call out, and let in whoever may start now."""
        permit.abandon()
        self.router.end(permit.route)
        if permit.place is not None and permit.is_settled:
            self.pacer.keep()
            permit.place.keep(self._let_go)
        used = permit.used
        if used is None:
            self.pacer.end(clock.now(), permit.tokens, None)
        else:
            total = used.input_tokens + used.output_tokens
            self.pacer.end(clock.now(), permit.tokens, total, permit.max_output, used.output_tokens)
        if self._waiters:
            self.let_in()

    def _let_go(self) -> None:
        """A place that was kept is free."""
        self.pacer.let_go()
        if self._waiters:
            self.let_in()

    def let_in(self) -> None:
        """Let in, or turn away, from the head of the queue until one must wait; set the timer for that one."""
        while self._waiters:
            *_, permit, waiter = self._waiters[0]
            if not waiter.done():
                try:
                    wait = self._wait_s(permit)
                except RefusedError as refused:
                    waiter.set_exception(refused)
                else:
                    if wait is None:
                        return
                    if wait:
                        self._wake_in(wait)
                        return
                    waiter.set_result(None)
            heappop(self._waiters)

    def _wait_s(self, permit: Permit) -> float | None:
        """Seconds that the call must wait, None for: until another ends. Where that is 0 it is counted in.

        Raises:
            RefusedError: it may not start, and should not wait.
        """
        now = clock.now()
        if error := self._refusal(now):
            raise RefusedError(error)
        pace = self.pacer.wait_s(now, permit.tokens, permit.max_output, has_place=permit.has_place)
        route = self.router.wait_s(now)
        if pace is None or route is None:
            return None
        if not pace and not route:
            permit.sent_at = now
            if permit.has_place:
                permit.take_up_place()
            permit.route = self.router.start(now, permit.tokens, affinity=permit.seed, avoid=permit.avoid)
            self.pacer.start(now, permit.tokens, permit.max_output)
            return 0.0
        return max(pace, route)

    def _wake_in(self, wait: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait, self.let_in)
