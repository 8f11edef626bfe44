"""What the stages may ask of the world. A stage sees these protocols and nothing behind them.

Every implementation, fake or real, passes the same contract tests (`tests/contracts`).
"""

from collections.abc import Sequence
from typing import Protocol

from star_agents.core.calls import Completion, Reply, Request
from star_agents.core.place import Place
from star_agents.core.records import (
    Plan,
    Sample,
    Scores,
    Seed,
    Update,
)


class Completer(Protocol):
    """Sends one request to its endpoint, with whatever pacing and retries that takes."""

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """Return the reply; its text is never empty.

        However it ends, the call counts against its endpoint's limit until `place` is left, where one is given.

        Raises:
            EndpointError: the endpoint could not be made to answer.
            ReplyError: it answered, and never usefully.
        """
        ...

    def unavailable(self) -> frozenset[str]:
        """Names of the endpoints that would refuse a call now: down, or out of quota, and no probe due."""
        ...


class Scorer(Protocol):
    """Gives perplexities under the small and the large model."""

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """Return one `Scores` a sample, same length and order; an unscorable sample is a status, not an error.

        Raises:
            ScorerError: no score can be had at all.
        """
        ...


class Embedder(Protocol):
    """Turns instructions into vectors for the memory bank."""

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return one float32 little-endian vector of unit norm a text, same length and order.

        Raises:
            ScorerError: the model cannot be run.
        """
        ...


class SeedSource(Protocol):
    """Source rows in order, numbered by position from 0."""

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, at most `limit` and at least one; an empty list means the end.

        Raises:
            SeedError: the source cannot be read on, or too many rows are unusable.
        """
        ...


class Store(Protocol):
    """The only truth of a run. Each method returns when what it was told is durable.

    Raises (all methods):
        StoreError: it is not durable, and the run must stop.
    """

    async def assign(self, plan: Plan) -> None:
        """Record a plan; only afterwards may its calls be sent.

        Plans become durable in the order in which they were asked for: a crash leaves the first of them.
        """
        ...

    async def respond(self, request: Request, reply: Reply) -> None:
        """Record the reply to a request and book its tokens. A second reply to the same key changes nothing."""
        ...

    async def learn(self, update: Update) -> None:
        """Record a batch in one transaction: scores, selections, weights and memory together; or a change of the pool.

        What is recorded again changes nothing.
        """
        ...
