"""One endpoint: every call to it, from the first send to the answer or the giving up.

Laws: this is the only loop of retries; a permit is held while a call is out and never during a wait; each
call ends in a completion or in one error, and is counted once either way.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from star_agents.core import clock
from star_agents.core.calls import Completion, Request
from star_agents.core.errors import BadRequestError, ContextOverflowError, StarError
from star_agents.endpoints.admission import Admission, Permit, RefusedError
from star_agents.endpoints.call import Call, Setback
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.meter import EndpointState, EndpointStatus, Meter
from star_agents.endpoints.openai import decode, encode, estimated_tokens
from star_agents.endpoints.spec import EndpointSpec
from star_agents.endpoints.wire import RawReply
from star_agents.traffic.pacing import Pacer
from star_agents.traffic.refusals import RefusalWatch
from star_agents.traffic.retry import Failed, GiveUp, RetryClass, pause_s, retry_class
from star_agents.traffic.routing import Router


class Replica(AbstractAsyncContextManager["Replica"], Protocol):
    """What a `ReplicaClient` is to an endpoint; its methods raise `StarError` alone."""

    base_url: str

    async def send(self, body: bytes) -> RawReply:
        """Post a body and return the reply, whatever its status."""
        ...

    async def list_models(self) -> RawReply:
        """Ask what is served."""
        ...


Connect = Callable[[EndpointSpec, str], Replica]
"""Makes the replica of an endpoint at a base URL."""


class Endpoint:
    """Routes, paces, sends, retries and counts; enter it before use."""

    def __init__(self, spec: EndpointSpec, run_seed: int, *, connect: Connect = ReplicaClient) -> None:
        if not spec.base_urls:
            raise ValueError(f"endpoint {spec.name} has no URL")
        self.spec = spec
        self.replicas = tuple(connect(spec, url) for url in spec.base_urls)
        self._run_seed = run_seed
        self._router = Router(len(self.replicas))
        self._pacer = Pacer(
            spec.concurrency, requests_per_minute=spec.requests_per_minute, tokens_per_minute=spec.tokens_per_minute
        )
        self._admission = Admission(self._pacer, self._router, self._refusal)
        self._meter = Meter()
        self._refusals = RefusalWatch()
        self._last_fault: StarError | None = None
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for replica in self.replicas:
            await self._sessions.enter_async_context(replica)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sessions.aclose()

    async def complete(self, request: Request) -> Completion:
        """See `core.ports.Completer`."""
        call = Call(request)
        while True:
            try:
                outcome = await self._send(call)
            except RefusedError as refused:
                return self._give_up(call, refused.error)
            if isinstance(outcome, Completion):
                if not (self.spec.retry_truncated and call.lengthen(outcome)):
                    return call.finished(outcome)
            elif isinstance(outcome.step, GiveUp):
                return self._give_up(call, outcome.error)
            else:
                await asyncio.sleep(outcome.step.after_s)

    async def _send(self, call: Call) -> Completion | Setback:
        """Send once, when there is room. A failure is weighed while the permit is held: it may close the gate.

        Raises:
            RefusedError: nobody is to be sent to.
        """
        tokens = estimated_tokens(call.request, call.sampling)
        async with self._admission.permit(tokens, avoid=call.avoid) as permit:
            self._meter.sent(clock.now(), is_retry=call.sends > 0)
            call.sends += 1
            try:
                raw = await self.replicas[permit.route.replica].send(encode(call.request, self.spec, call.sampling))
                completion = decode(raw, call.request, self.spec)
            except StarError as error:
                return self._fail(permit, call, error)
            self._refusals.note(is_refused=False)
            permit.answered(completion.usage.input_tokens + completion.usage.output_tokens)
            self._meter.answered(clock.now(), completion)
            return completion

    def _fail(self, permit: Permit, call: Call, error: StarError) -> Setback:
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
        )
        self._meter.faults[error.reason] += 1
        if pause := pause_s(failed):
            self._pacer.pause(now + pause)
        self._blame(permit, failed)
        return call.fail(failed)

    def _blame(self, permit: Permit, failed: Failed) -> None:
        """Say of a failed send what it means for its replica."""
        error, kind = failed.error, retry_class(failed.error)
        is_poison = isinstance(error, BadRequestError) and not isinstance(error, ContextOverflowError)
        if self._refusals.note(is_refused=is_poison):
            error = BadRequestError(f"too many requests are refused, so none is sent now; the last: {error}")
            kind = RetryClass.ENDPOINT
        if kind in {RetryClass.RATE_LIMIT, RetryClass.QUALITY, RetryClass.PERMANENT}:
            permit.answered()
        else:
            self._last_fault = error
            permit.failed(is_fatal=kind is RetryClass.ENDPOINT)

    def _give_up(self, call: Call, error: StarError) -> Completion:
        """The end of a call that failed: an answer that was cut short is still an answer.

        Raises:
            StarError: there is none.
        """
        if call.cut_short is not None:
            return call.cut_short
        self._meter.failures[error.reason] += 1
        raise error

    def _refusal(self, now: float) -> StarError | None:
        """Why a call would be turned away now, or None where it may wait. Whoever comes when a probe is due may."""
        is_hopeless = self._router.is_fatal() or self._router.down_for_s(now) > self.spec.patience_s
        if not is_hopeless or self._last_fault is None or self._router.wait_s(now) == 0.0:
            return None
        return type(self._last_fault)(str(self._last_fault))

    def is_unavailable(self) -> bool:
        """True where nothing is being sent, and a call would have to wait for more than its turn."""
        return self._router.is_down() and self._router.wait_s(clock.now()) != 0.0

    def status(self) -> EndpointStatus:
        """A snapshot; cheap."""
        now, meter = clock.now(), self._meter
        state, reason = self._state(now)
        median, high = meter.percentiles(0.5, 0.95)
        failures, faults = meter.counts()
        return EndpointStatus(
            name=self.spec.name,
            state=state,
            reason=reason,
            in_flight=self._pacer.in_flight,
            limit=self._pacer.limit,
            waiting=self._admission.waiting,
            requests=meter.requests,
            retries=meter.retries,
            failures=failures,
            faults=faults,
            input_tokens=meter.input_tokens,
            output_tokens=meter.output_tokens,
            tokens_per_s=meter.tokens_per_s(now),
            latency_p50_s=median,
            latency_p95_s=high,
            paused_until=self._pacer.paused_until(now),
        )

    def _state(self, now: float) -> tuple[EndpointState, str | None]:
        """The worst that holds, and why; one dead replica of several is worth a word."""
        if self._router.is_down():
            return "open", str(self._last_fault)
        if self._pacer.paused_until(now) is not None:
            return "paused", "rate limited"
        return "ok", str(self._last_fault) if self._router.num_open() else None
