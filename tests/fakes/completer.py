"""A completer in memory: the promises of the fleet, the answers of the mock server, and handles to break it by."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from star_agents.core.calls import (
    CallKey,
    Completion,
    FinishReason,
    Request,
    Usage,
)
from star_agents.core.errors import StarError
from star_agents.core.place import Place
from star_agents.mock.answers import answer

Fails = Callable[[Request], StarError | None]


class MemoryCompleter:
    """Answers by content after `latency_s`; `fails` names the error of a request, `down` the dead endpoints."""

    def __init__(self, *, latency_s: float = 0.0, fails: Fails = lambda _: None) -> None:
        self.latency_s = latency_s
        self.fails = fails
        self.down: set[str] = set()
        self.sent: Counter[CallKey] = Counter()
        self.in_flight = 0
        self.kept = 0

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """See `core.ports.Completer`."""
        self.sent[request.key] += 1
        self.in_flight += 1
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.in_flight -= 1
        if place is not None:
            self.kept += 1
            place.keep(self._let_go)
        if error := self.fails(request):
            raise error
        said = answer(body_of(request))
        return Completion(
            text=said.text,
            finish_reason=FinishReason(said.finish_reason),
            usage=Usage(said.prompt_tokens, said.completion_tokens),
            model="m",
            endpoint=request.endpoint,
            latency_s=self.latency_s,
        )

    def _let_go(self) -> None:
        self.kept -= 1

    def unavailable(self) -> frozenset[str]:
        """See `core.ports.Completer`."""
        return frozenset(self.down)


def body_of(request: Request) -> dict[str, Any]:
    """The request as the mock server would see it."""
    return {
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "seed": request.random_seed,
        "max_tokens": request.params.max_tokens,
    } | ({} if request.params.temperature is None else {"temperature": request.params.temperature})
