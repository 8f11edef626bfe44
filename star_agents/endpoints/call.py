"""One request on its way: what is learnt of it from one send to the next. Plain code; it waits for nothing."""

from dataclasses import dataclass, replace

from star_agents.core import rng
from star_agents.core.calls import NOTHING, Completion, FinishReason, Request, Usage
from star_agents.core.errors import CallError, ReasoningOnlyError
from star_agents.core.place import Place
from star_agents.endpoints.formats.protocol import Sampling
from star_agents.traffic.retry import Failed, GiveUp, Retry, RetryClass, Tried, decide, needs_budget, retry_class

MORE_TOKENS = 2
"""How much larger the budget is when an answer, or the thinking before it, did not fit."""


_AS_ASKED = Sampling()
_UNTRIED = Tried()
"""Frozen, and the same for most calls: made once."""


@dataclass(frozen=True, slots=True)
class Setback:
    """A send that failed, and what follows from it."""

    error: CallError
    step: Retry | GiveUp
    is_budgeted: bool = False
    """A retry has to wait until the endpoint may see one more."""


@dataclass(slots=True)
class Call:
    """A request, how to ask it next, and what has happened to it so far."""

    request: Request
    place: Place | None = None
    """Kept by its last send, where the caller wants that."""
    sampling: Sampling = _AS_ASKED
    tried: Tried = _UNTRIED
    sends: int = 0
    failing_since: float | None = None
    avoid: int | None = None
    """The replica that failed it last."""
    cut_short: Completion | None = None
    """A usable answer that ran into its limit, kept while a longer one is asked for."""
    wasted: Usage = NOTHING
    """What was served to it and is of no use, `cut_short` apart."""

    @property
    def max_tokens(self) -> int:
        """The most that its next answer may have."""
        return self.sampling.max_tokens or self.request.params.max_tokens

    @property
    def name(self) -> str:
        """The same for each of its sends, and no other call's."""
        key = self.request.key
        return f"{key.seed}-{key.purpose}-{key.slot}-{key.ordinal}"

    def jitter(self, run_seed: int) -> float:
        """Uniform in [0, 1), by the call's name and the number of its sends."""
        key = self.request.key
        return rng.derive(run_seed, "backoff", key.seed, key.purpose, key.slot, key.ordinal, self.sends).random()

    def fail(self, error: CallError, failed: Failed) -> Setback:
        """Take a failure in and decide what follows."""
        step, kind = decide(failed), retry_class(error)
        if error.wasted is not NOTHING:
            self.wasted += error.wasted
        if isinstance(step, Retry):
            self.tried = self.tried.after(step, failed)
        if kind is RetryClass.QUALITY:
            longer = isinstance(error, ReasoningOnlyError)
            self.sampling = Sampling(self.tried.samples, self._more_tokens() if longer else self.sampling.max_tokens)
        return Setback(error, step, needs_budget(failed))

    def lengthen(self, completion: Completion) -> bool:
        """True where the answer ran into its limit and a longer one is to be asked for, the first time that it does."""
        if completion.finish_reason is not FinishReason.LENGTH or self.cut_short is not None:
            return False
        self.cut_short = completion
        self.tried = replace(self.tried, charged=self.tried.charged + 1)
        self.sampling = replace(self.sampling, max_tokens=self._more_tokens())
        return True

    def leave_place(self) -> None:
        """Before another try: a wait never holds a place."""
        if self.place is not None:
            self.place.leave()

    def answered(self, completion: Completion) -> Completion:
        """The end of a call that was answered, with all that it took."""
        if self.cut_short is not None:
            self.wasted += self.cut_short.usage
        return self._accounted(completion)

    def given_up(self, error: CallError) -> Completion:
        """The end of a call that was not: an answer that was cut short is still an answer.

        Raises:
            CallError: there is none.
        """
        if self.cut_short is not None:
            return self._accounted(self.cut_short)
        error.attempts, error.wasted = self.tried.charged + 1, self.wasted
        raise error

    def _accounted(self, completion: Completion) -> Completion:
        if not self.tried.charged and self.wasted is NOTHING:
            return completion
        return replace(completion, attempts=self.tried.charged + 1, wasted=self.wasted)

    def _more_tokens(self) -> int:
        return MORE_TOKENS * self.max_tokens
