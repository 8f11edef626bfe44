"""One endpoint: every call to it, from the first send to the answer or the giving up.

Laws: this is the only loop of retries; a permit, and the money for a send, are held while the send is out and
never during a wait; each call ends in a completion or in one error, and is counted once either way.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from star_agents.core import clock
from star_agents.core.calls import Completion, Request
from star_agents.core.errors import BadRequestError, CallError, ContextOverflowError, TimedOutError
from star_agents.core.place import Place
from star_agents.endpoints import gauges, pace
from star_agents.endpoints.admission import Admission, Permit, RefusedError
from star_agents.endpoints.call import Call, Setback
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.formats.protocol import estimated_tokens
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.meter import EndpointState, EndpointStatus, Meter
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.replica_gate import ReplicaGate
from star_agents.endpoints.servers.gate import Gate
from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.budget import Budget, Cost
from star_agents.traffic.deadlines import AdaptiveDeadline
from star_agents.traffic.knee import Gauges, Knee
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.price import Tariff
from star_agents.traffic.refusals import RefusalWatch
from star_agents.traffic.retry import Failed, GiveUp, Retry, RetryClass, pause_s, retry_class
from star_agents.traffic.retry_budget import RetryBudget
from star_agents.traffic.routing import Router


class Replica(AbstractAsyncContextManager["Replica"], Protocol):
    """What a `ReplicaClient` is to an endpoint; its methods raise `CallError` alone."""

    base_url: str

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:
        """Post a body and return the reply, whatever its status."""
        ...

    async def list_models(self) -> RawReply:
        """Ask what is served."""
        ...

    async def read_metrics(self) -> RawReply:
        """Ask how the server is doing."""
        ...


BUDGET_LOOK_S = 1.0
"""How often a retry that the budget does not allow looks again: every answer may bring its turn nearer."""

Connect = Callable[[EndpointSpec, str], Replica]
"""Makes the replica of an endpoint at a base URL."""


class Endpoint:
    """Routes, paces, pays, sends, retries and counts; enter it before use."""

    def __init__(
        self, spec: EndpointSpec, run_seed: int, *, purse: Purse | None = None, connect: Connect = ReplicaClient
    ) -> None:
        if not spec.base_urls:
            raise ValueError(f"endpoint {spec.name} has no URL")
        self.spec = spec
        self.replicas = tuple(connect(spec, url) for url in spec.base_urls)
        self._run_seed = run_seed
        self.most_calls = spec.concurrency
        """Connections were made for no more."""
        self._format = format_of(spec)
        self._router = Router(len(self.replicas))
        self._pacer = Pacer(pace.first_controller(spec), pace.rates_of(spec))
        self._admission = Admission(self._pacer, self._router, self._refusal)
        self._purse = purse or Purse(Budget())
        self._tariff = Tariff(spec.price)
        self._meter = Meter(len(self.replicas))
        self._retries = RetryBudget()
        self._refusals = RefusalWatch()
        self._deadline = AdaptiveDeadline(spec.timeouts.first_byte_s)
        self._last_fault: CallError | None = None
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for replica in self.replicas:
            await self._sessions.enter_async_context(replica)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sessions.aclose()

    def watch(self) -> Coroutine[None, None, None] | None:
        """What is to run beside the calls, without end: the look at the server's figures, where it may have any."""
        return gauges.watch(self.replicas, self._observe) if pace.may_show_figures(self.spec) else None

    def _observe(self, figures: Gauges) -> None:
        """The server tells of itself: from now on that is what it is paced by."""
        knee = self._pacer.controller
        if not isinstance(knee, Knee):
            knee = pace.knee_controller(self.spec, start=knee.limit)
            self._pacer.controller = knee
        knee.observe(clock.now(), figures)
        self._admission.let_in()

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """See `core.ports.Completer`."""
        call = Call(request, place)
        while True:
            try:
                outcome = await self._attempt(call)
            except RefusedError as refused:
                return self._give_up(call, refused.error)
            if isinstance(outcome, Completion):
                if not (self.spec.retry_truncated and call.lengthen(outcome)):
                    return call.answered(outcome)
                if self._purse.is_limited:  # who waits for money with a place would wait for who waits for a place
                    call.leave_place()
            elif isinstance(outcome.step, GiveUp):
                return self._give_up(call, outcome.error)
            else:
                call.leave_place()
                await self._wait_for_turn(outcome, outcome.step)

    async def _wait_for_turn(self, setback: Setback, step: Retry) -> None:
        """Wait before a retry, for as long as its class says and for as long as there were too many of late."""
        if step.after_s:
            await asyncio.sleep(step.after_s)
        if setback.is_budgeted:
            while wait := self._retries.wait_s(clock.now()):  # noqa: ASYNC110  # a budget fills by the clock too
                await asyncio.sleep(min(wait, BUDGET_LOOK_S))
            self._retries.spend(clock.now())

    async def _attempt(self, call: Call) -> Completion | Setback:
        """Send once, when there is money and room for it.

        Raises:
            RefusedError: nobody is to be sent to.
        """
        body = self._format.encode(call.request, self.spec, call.sampling)
        if not self._purse.is_limited:
            outcome = await self._send(call, body)
            self._purse.spend(self._cost(outcome))
            return outcome
        async with self._purse.hold(self._tariff.worst_case(len(body), call.max_tokens)) as hold:
            outcome = await self._send(call, body)
            hold.settle(self._cost(outcome))
            if isinstance(outcome, Completion):
                self._tariff.learn(len(body), outcome.usage)
            return outcome

    def _cost(self, outcome: Completion | Setback) -> Cost:
        return self._tariff.cost(outcome.usage if isinstance(outcome, Completion) else outcome.error.wasted)

    async def _send(self, call: Call, body: bytes) -> Completion | Setback:
        """Send when there is room. A failure is weighed while the permit is held: it may close the gate."""
        tokens = estimated_tokens(call.request, call.sampling)
        seed = call.request.key.seed
        async with self._admission.permit(tokens, call.max_tokens, seed, call.avoid, call.place) as permit:
            index = permit.route.replica
            self._meter.sent(permit.sent_at, is_retry=call.sends > 0)
            call.sends += 1
            try:
                name = call.name if self.spec.idempotency_key else ""
                raw = await self.replicas[index].send(body, first_byte_s=self._deadline.after_s, call=name)
                completion = self._format.decode(raw, call.request, self.spec)
            except CallError as error:
                return self._fail(permit, call, error)
            now = clock.now()
            self._retries.earn()
            self._refusals.note(is_refused=False)
            self._deadline.note(raw.first_text_s or raw.latency_s)
            permit.answered(now, completion.usage)
            self._meter.answered(now, index, completion)
            return completion

    def _fail(self, permit: Permit, call: Call, error: CallError) -> Setback:
        """Tell the gate, the breaker and the counts of a failed send, and decide what the call does next."""
        now = clock.now()
        if call.failing_since is None:
            call.failing_since = now
        call.avoid = permit.route.replica
        failed = Failed(
            error=error,
            tried=call.tried,
            elapsed_s=now - call.failing_since,
            deadline_s=self.spec.patience_s,
            jitter=call.jitter(self._run_seed),
            is_probe=permit.route.is_probe,
            has_other_replica=self._router.has_working(besides=call.avoid),
            answers_others=self._meter.answered_at > permit.sent_at,
        )
        if isinstance(error, TimedOutError):
            self._deadline.note(now - permit.sent_at)
        self._meter.failed(error)
        self._blame(permit, now, error, pause_s(failed))
        return call.fail(error, failed)

    def _blame(self, permit: Permit, now: float, error: CallError, pause: float) -> None:
        """Say of a failed send what it means for its replica, and for the pace."""
        kind = retry_class(error)
        is_poison = isinstance(error, BadRequestError) and not isinstance(error, ContextOverflowError)
        if self._refusals.note(is_refused=is_poison):
            error = BadRequestError(f"too many requests are refused, so none is sent now; the last: {error}")
            kind = RetryClass.ENDPOINT
        if kind is RetryClass.RATE_LIMIT:
            self._pacer.limited(now, permit.sent_at, pause)
        elif kind is RetryClass.TRANSIENT:
            self._pacer.overloaded(now, permit.sent_at)
        if kind in {RetryClass.RATE_LIMIT, RetryClass.QUALITY, RetryClass.PERMANENT}:
            permit.turned_down(now, error.wasted)
        else:
            self._last_fault = error
            permit.failed(now, is_fatal=kind is RetryClass.ENDPOINT)

    def _give_up(self, call: Call, error: CallError) -> Completion:
        """The end of a call that failed; see `Call.given_up`."""
        if call.cut_short is None:
            self._meter.failures[error.reason] += 1
        return call.given_up(error)

    def _refusal(self, now: float) -> CallError | None:
        """Why a call would be turned away now, or None where it may wait. Whoever comes when a probe is due may."""
        if self._last_fault is None or not self._router.is_down():
            return None
        is_hopeless = self._router.is_fatal() or self._router.down_for_s(now) > self.spec.patience_s
        if not is_hopeless or self._router.wait_s(now) == 0.0:
            return None
        return type(self._last_fault)(str(self._last_fault))

    def is_unavailable(self) -> bool:
        """True where nothing is being sent, and a call would have to wait for more than its turn."""
        return self._router.is_down() and self._router.wait_s(clock.now()) != 0.0

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return self._pacer.limit

    def retune(self, spec: EndpointSpec) -> None:
        """Go by the rates and the concurrency, `most_calls` at most, of another spec; they are all that may differ."""
        self.spec = spec
        self._pacer.retune(clock.now(), pace.rates_of(spec), spec.concurrency)
        self._admission.let_in()

    def idle_share(self) -> float:
        """How much of what may be in flight now is not, from 0 to 1; 0 while calls wait for room."""
        if self._admission.waiting or self._pacer.paused_until(clock.now()) is not None:
            return 0.0
        return max(0.0, 1.0 - self._pacer.in_flight / self._pacer.limit)

    def gates(self) -> Mapping[str, Gate]:
        """By base URL, what the supervisor of a replica's server may see and do."""
        return {
            replica.base_url: ReplicaGate(index, self._router, self._meter, self._admission)
            for index, replica in enumerate(self.replicas)
        }

    def status(self) -> EndpointStatus:
        """A snapshot; cheap."""
        now = clock.now()
        state, reason = self._state(now)
        until = self._pacer.paused_until(now)
        return self._meter.status(
            now,
            name=self.spec.name,
            state=state,
            reason=reason,
            in_flight=self._pacer.in_flight,
            kept=self._pacer.kept,
            limit=self._pacer.limit,
            limit_reason=self._pacer.controller.reason(),
            waiting=self._admission.waiting,
            paused_for_s=None if until is None else until - now,
        )

    def _state(self, now: float) -> tuple[EndpointState, str | None]:
        """The worst that holds, and why; one dead replica of several is worth a word."""
        if self._router.is_down():
            return "open", str(self._last_fault or "its server is being started anew")
        if self._pacer.paused_until(now) is not None:
            return "paused", "rate limited"
        return "ok", str(self._last_fault) if self._router.num_open() else None
