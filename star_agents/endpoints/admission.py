"""The queue in front of one endpoint: calls go in when pace and route allow it, first come, first served.

Laws: a permit that was given is given back exactly once, cancelled or not; between entering and leaving the
block there is no other way out. Whether a call may start is decided by `Pacer` and `Router`, which know no
tasks; here it is waited for, with one timer and no polling.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from star_agents.core import clock
from star_agents.core.errors import StarError
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.routing import Breaker, Route, Router


class RefusedError(Exception):
    """The endpoint takes no calls now and is not worth waiting for; `error` says why."""

    def __init__(self, error: StarError) -> None:
        super().__init__(str(error))
        self.error = error


class Permit:
    """The right to make one call, on `route`; held for as long as its block runs.

    Inside the block say how the call ended: `answered` or `failed`. Saying neither (a cancelled call) proves
    nothing about the replica.
    """

    __slots__ = ("_admission", "avoid", "is_settled", "route", "tokens", "used")

    route: Route
    """Set when the permit is given."""

    def __init__(self, admission: "Admission", tokens: int, avoid: int | None) -> None:
        self._admission = admission
        self.tokens = tokens
        self.avoid = avoid
        self.is_settled = False
        self.used: int | None = None

    def answered(self, used: int | None = None) -> None:
        """The replica answered; `used` is the tokens of the call, where they are known."""
        self.used, self.is_settled = used, True
        self._breaker.succeed(clock.now(), is_probe=self.route.is_probe)

    def failed(self, *, is_fatal: bool = False) -> None:
        """The replica did not answer; `is_fatal`: and will not before somebody mends something."""
        self.is_settled = True
        self._breaker.fail(clock.now(), is_probe=self.route.is_probe, is_fatal=is_fatal)

    def abandon(self) -> None:
        """Count for nothing, if neither was said."""
        if self.route.is_probe and not self.is_settled:
            self._breaker.abandon_probe()

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

    def __init__(self, pacer: Pacer, router: Router, refusal: Callable[[float], StarError | None]) -> None:
        self.pacer = pacer
        self.router = router
        self._refusal = refusal
        self._waiters: deque[tuple[Permit, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return sum(not waiter.done() for _, waiter in self._waiters)

    def permit(self, tokens: int, *, avoid: int | None = None) -> Permit:
        """A permit for a call of about `tokens` tokens, to be entered; `avoid` is a replica to keep away from."""
        return Permit(self, tokens, avoid)

    def pause(self, until: float) -> None:
        """Let nobody in before `until`, a time of the loop's clock."""
        self.pacer.pause(until)

    async def enter(self, permit: Permit) -> None:
        """Wait until the call may start, then count it in.

        Raises:
            RefusedError: it may not, and should not wait.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((permit, waiter))
        self._pump()
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
        self.pacer.end(clock.now(), permit.tokens, permit.used)
        self._pump()

    def _pump(self) -> None:
        """Let in, or turn away, from the head of the queue until one must wait; set the timer for that one."""
        while self._waiters:
            permit, waiter = self._waiters[0]
            wait = 0.0 if waiter.done() else self._admit(permit, waiter)
            if wait is None:
                return
            if wait > 0.0:
                self._wake_in(wait)
                return
            self._waiters.popleft()

    def _admit(self, permit: Permit, waiter: asyncio.Future[None]) -> float | None:
        """Seconds that the head of the queue must wait, 0 where it has its answer, None for: until a call ends."""
        now = clock.now()
        if error := self._refusal(now):
            waiter.set_exception(RefusedError(error))
            return 0.0
        waits = self.pacer.wait_s(now, permit.tokens), self.router.wait_s(now)
        if None in waits:
            return None
        wait = max(wait for wait in waits if wait is not None)
        if wait == 0.0:
            permit.route = self.router.start(now, avoid=permit.avoid)
            self.pacer.start(now, permit.tokens)
            waiter.set_result(None)
        return wait

    def _wake_in(self, wait: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait, self._pump)
