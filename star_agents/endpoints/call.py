"""One request on its way: what is learnt of it from one send to the next. Plain code; it waits for nothing."""

from dataclasses import dataclass, field, replace

from star_agents.core import rng
from star_agents.core.calls import Completion, FinishReason, Request
from star_agents.core.errors import ReasoningOnlyError, StarError
from star_agents.endpoints.openai import Sampling
from star_agents.traffic.retry import Failed, GiveUp, Retry, RetryClass, Tried, decide, retry_class

MORE_TOKENS = 2
"""How much larger the budget is when an answer, or the thinking before it, did not fit."""


@dataclass(frozen=True, slots=True)
class Setback:
    """A send that failed, and what follows from it."""

    error: StarError
    step: Retry | GiveUp


@dataclass(slots=True)
class Call:
    """A request, how to ask it next, and what has happened to it so far."""

    request: Request
    sampling: Sampling = field(default_factory=Sampling)
    tried: Tried = field(default_factory=Tried)
    sends: int = 0
    failing_since: float | None = None
    avoid: int | None = None
    """The replica that failed it last."""
    cut_short: Completion | None = None
    """A usable answer that ran into its limit, kept while a longer one is asked for."""

    def jitter(self, run_seed: int) -> float:
        """Uniform in [0, 1), by the call's name and the number of its sends."""
        key = self.request.key
        return rng.derive(run_seed, "backoff", key.seed, key.purpose, key.slot, key.ordinal, self.sends).random()

    def fail(self, failed: Failed) -> Setback:
        """Take a failure in and decide what follows."""
        step, kind = decide(failed), retry_class(failed.error)
        if isinstance(step, Retry):
            self.tried = self.tried.after(step, kind)
        if kind is RetryClass.QUALITY:
            longer = isinstance(failed.error, ReasoningOnlyError)
            self.sampling = Sampling(self.tried.samples, self._more_tokens() if longer else self.sampling.max_tokens)
        return Setback(failed.error, step)

    def lengthen(self, completion: Completion) -> bool:
        """True where the answer ran into its limit and a longer one is to be asked for, the first time that it does."""
        if completion.finish_reason is not FinishReason.LENGTH or self.cut_short is not None:
            return False
        self.cut_short = self.finished(completion)
        self.tried = replace(self.tried, charged=self.tried.charged + 1)
        self.sampling = replace(self.sampling, max_tokens=self._more_tokens())
        return True

    def finished(self, completion: Completion) -> Completion:
        """The completion with its number of charged sends."""
        return replace(completion, attempts=self.tried.charged + 1)

    def _more_tokens(self) -> int:
        return MORE_TOKENS * (self.sampling.max_tokens or self.request.params.max_tokens)
