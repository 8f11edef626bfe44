"""Counting what an endpoint does, cheaply enough to be looked at several times a second."""

import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from star_agents.core.calls import Completion
from star_agents.core.errors import CallError

RATE_WINDOW_S = 15
"""Tokens a second are over this many whole seconds."""
LATENCIES_KEPT = 256
"""Percentiles are over the last so many answers."""


MODELS_KEPT = 16
"""A server that invents names is not followed for ever."""

log = logging.getLogger(__name__)

EndpointState = Literal["ok", "paused", "open"]
"""`paused` by a rate limit; `open` means that no replica answers and nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """One endpoint as a person watches it; counts are since the start."""

    name: str
    state: EndpointState
    reason: str | None = None
    """Why it is not `ok`, or what is wrong with a part of it."""
    in_flight: int = 0
    kept: int = 0
    """Calls that were answered and whose reply is not on record yet."""
    limit: int = 0
    limit_reason: str = ""
    """Why the limit is what it is."""
    waiting: int = 0
    """Calls that wait for room."""
    requests: int = 0
    """Calls sent, further tries included."""
    retries: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """Calls given up, by reason."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Sends that failed, by reason, whether or not a further try mended them."""
    input_tokens: int = 0
    output_tokens: int = 0
    tokens_per_s: float = 0.0
    """Written tokens a second, of late."""
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    models: tuple[str, ...] = ()
    """Who answered, by the names that the answers bear; a second name is a silent change."""
    paused_for_s: float | None = None
    """Seconds until it ends; None where no rate limit holds."""


class Meter:
    """The counts of one endpoint. Tokens of answers that are of no use count too: they were served."""

    def __init__(self, num_replicas: int = 1) -> None:
        self.requests = 0
        self.retries = 0
        self.failures: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.input_tokens = 0
        self.output_tokens = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._written: deque[list[int]] = deque()
        """Whole seconds, with the tokens written in each."""
        self._began_at: float | None = None
        self.last_answer_at: list[float | None] = [None] * num_replicas
        """By replica, on the loop's clock."""
        self.models: dict[str, None] = {}
        """Names under which answers came, in order of appearance: more than one is worth a word."""
        self.answered_at = float("-inf")
        """Of any replica."""

    def sent(self, now: float, *, is_retry: bool) -> None:
        """One more request went out."""
        if self._began_at is None:
            self._began_at = now
        self.requests += 1
        self.retries += is_retry

    def answered(self, now: float, replica: int, completion: Completion) -> None:
        """An answer came in at `now`."""
        if completion.model not in self.models and len(self.models) < MODELS_KEPT:
            self._note_model(completion)
        usage, second = completion.usage, int(now)
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.last_answer_at[replica] = self.answered_at = now
        self._latencies.append(completion.latency_s)
        if self._written and self._written[-1][0] == second:
            self._written[-1][1] += usage.output_tokens
        else:
            self._written.append([second, usage.output_tokens])
            self._forget(now)

    def _note_model(self, completion: Completion) -> None:
        if self.models:
            before = ", ".join(self.models)
            log.warning("endpoint %s: %s answers now, before it was %s", completion.endpoint, completion.model, before)
        self.models[completion.model] = None

    def failed(self, error: CallError) -> None:
        """A send came to nothing."""
        self.faults[error.reason] += 1
        self.input_tokens += error.wasted.input_tokens
        self.output_tokens += error.wasted.output_tokens

    def tokens_per_s(self, now: float) -> float:
        """Over the last `RATE_WINDOW_S` seconds, or since the first request where that is shorter."""
        self._forget(now)
        if self._began_at is None:
            return 0.0
        window = min(float(RATE_WINDOW_S), max(1.0, now - self._began_at))
        return sum(tokens for _, tokens in self._written) / window

    def percentiles(self, *shares: float) -> list[float | None]:
        """Latencies in seconds, nearest rank; None before the first answer."""
        ordered = sorted(self._latencies)
        return [_nearest(ordered, share) for share in shares]

    def status(self, now: float, **known: Any) -> EndpointStatus:  # noqa: ANN401  # fields of `EndpointStatus`
        """The counts as they are now, with what others know of the endpoint."""
        median, high = self.percentiles(0.5, 0.95)
        return EndpointStatus(
            requests=self.requests,
            retries=self.retries,
            failures=MappingProxyType(dict(self.failures)),
            faults=MappingProxyType(dict(self.faults)),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            tokens_per_s=self.tokens_per_s(now),
            latency_p50_s=median,
            latency_p95_s=high,
            models=tuple(self.models),
            **known,
        )

    def _forget(self, now: float) -> None:
        while self._written and self._written[0][0] < now - RATE_WINDOW_S:
            self._written.popleft()


def _nearest(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
