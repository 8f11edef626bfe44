"""The ports of a run with somebody watching: each does what the one behind it does, and tells how long it took.

Law: watching changes nothing. What the port behind returns, raises or is cancelled by passes through untouched, and
a stage cannot tell a watched port from another. A seed that is not told of costs one look into a set.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from star_agents.core import clock
from star_agents.core.calls import Completion, Reply, Request
from star_agents.core.errors import EndpointError, ReplyError
from star_agents.core.place import Place
from star_agents.core.ports import Completer, Scorer, Store
from star_agents.core.records import Graded, Plan, Sample, Scores, Update
from star_agents.core.subject import seeds_at_hand
from star_agents.service.telemetry.spans import Span, SpanSink, Traces, Value


@dataclass(slots=True)
class Watch:
    """What the watched ports of one run share: who is told, of which seeds, and when each of those came in.

    A seed of an earlier start counts as come in when this one first hears of it.
    """

    sink: SpanSink
    traces: Traces
    _since: dict[int, int] = field(default_factory=dict, init=False)
    _epoch_ns: int = field(default_factory=clock.epoch_ns, init=False)
    _begun_s: float = field(default_factory=clock.now, init=False)

    def now_ns(self) -> int:
        """Nanoseconds since 1970 by a clock that never goes back."""
        return self._epoch_ns + int((clock.now() - self._begun_s) * 1e9)

    def begin(self, seed: int) -> bool:
        """Whether this seed is told of; from now on it is there."""
        if seed in self._since:
            return True
        if not self.traces.includes(seed):
            return False
        self._since[seed] = self.now_ns()
        return True

    def end(self, seed: int, attributes: Mapping[str, Value]) -> None:
        """The seed is finished."""
        now = self.now_ns()
        start = self._since.pop(seed, now)
        self.sink.tell(Span(seed=seed, name="seed", start_ns=start, end_ns=now, attributes=attributes, is_root=True))

    @contextmanager
    def span(self, name: str, seeds: Sequence[int], attributes: Mapping[str, Value]) -> Iterator[None]:
        """One span for each of `seeds`, all of them told of; what ends it early is its error."""
        start, error = self.now_ns(), None
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            end = self.now_ns()
            for seed in seeds:
                told = Span(seed=seed, name=name, start_ns=start, end_ns=end, attributes=attributes, error=error)
                self.sink.tell(told)


@dataclass(frozen=True, slots=True)
class WatchedCompleter:
    """`Completer`: a span for each call, by the semantic conventions for generative AI; `models` are by endpoint."""

    completer: Completer
    models: Mapping[str, str]
    watch: Watch

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """See `Completer.complete`. A call that waits out an outage is a span for each time that it was given up."""
        if not self.watch.begin(request.key.seed):
            return await self.completer.complete(request, place)
        call = Span(
            seed=request.key.seed,
            name=f"chat {self.models.get(request.endpoint, request.endpoint)}",
            start_ns=self.watch.now_ns(),
            end_ns=0,
            attributes=self._asked(request),
            is_call=True,
        )
        try:
            completion = await self.completer.complete(request, place)
        except (EndpointError, ReplyError) as error:
            self._tell(call, {"star_agents.attempts": error.attempts}, error.reason)
            raise
        self._tell(call, _answered(completion), None)
        return completion

    def unavailable(self) -> frozenset[str]:
        """See `Completer.unavailable`."""
        return self.completer.unavailable()

    def _tell(self, call: Span, came: Mapping[str, Value], error: str | None) -> None:
        ended = replace(call, end_ns=self.watch.now_ns(), attributes={**call.attributes, **came}, error=error)
        self.watch.sink.tell(ended)

    def _asked(self, request: Request) -> dict[str, Value]:
        sampling: dict[str, Value | None] = {
            "gen_ai.request.temperature": request.params.temperature,
            "gen_ai.request.top_p": request.params.top_p,
        }
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.models.get(request.endpoint, ""),
            "gen_ai.request.max_tokens": request.params.max_tokens,
            **{name: value for name, value in sampling.items() if value is not None},
            "star_agents.endpoint": request.endpoint,
            "star_agents.purpose": str(request.key.purpose),
            "star_agents.agent": request.agent,
            "star_agents.pair": request.pair,
            "star_agents.slot": request.key.slot,
        }


def _answered(completion: Completion) -> dict[str, Value]:
    return {
        "gen_ai.response.model": completion.model,
        "gen_ai.response.finish_reason": str(completion.finish_reason),
        "gen_ai.usage.input_tokens": completion.usage.input_tokens,
        "gen_ai.usage.output_tokens": completion.usage.output_tokens,
        "star_agents.attempts": completion.attempts,
    }


@dataclass(frozen=True, slots=True)
class WatchedScorer:
    """`Scorer`: a span for each seed of a batch, as long as the batch took."""

    scorer: Scorer
    watch: Watch

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """See `Scorer.score`."""
        at_hand = seeds_at_hand()
        told = [seed for seed in at_hand if self.watch.begin(seed)]
        sizes: dict[str, Value] = {"star_agents.batch.seeds": len(at_hand), "star_agents.batch.samples": len(samples)}
        with self.watch.span("score", told, sizes):
            return await self.scorer.score(samples)


@dataclass(frozen=True, slots=True)
class WatchedStore:
    """`Store`: a seed comes in when its plan is asked for and is finished when its batch is durable."""

    store: Store
    watch: Watch

    async def assign(self, plan: Plan) -> None:
        """See `Store.assign`."""
        seed = plan.seed.number
        told = [seed] if self.watch.begin(seed) else []
        with self.watch.span("plan", told, {"star_agents.version": plan.weights_version}):
            await self.store.assign(plan)

    async def respond(self, request: Request, reply: Reply) -> None:
        """See `Store.respond`; no span of its own: it is the same for every call."""
        await self.store.respond(request, reply)

    async def learn(self, update: Update) -> None:
        """See `Store.learn`."""
        told = [item for item in update.graded if self.watch.begin(item.settled.plan.seed.number)]
        batch: dict[str, Value] = {
            "star_agents.batch.seeds": len(update.graded),
            "star_agents.version": update.weights.version,
        }
        with self.watch.span("learn", [item.settled.plan.seed.number for item in told], batch):
            await self.store.learn(update)
        for item in told:
            self.watch.end(item.settled.plan.seed.number, _finished(item))


def _finished(item: Graded) -> dict[str, Value]:
    selection, plan = item.selection, item.settled.plan
    known: dict[str, Value | None] = {
        "star_agents.seed": plan.seed.number,
        "star_agents.drawn_from": plan.weights_version,
        "star_agents.candidates": len(item.settled.candidates()),
        "star_agents.row": str(selection.source),
        "star_agents.row.pair": str(plan.slots[selection.slot].pair) if selection.slot is not None else None,
        "star_agents.row.pi": selection.pi,
        "star_agents.row.reason": selection.reason,
    }
    return {name: value for name, value in known.items() if value is not None}
