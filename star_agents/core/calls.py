"""The nouns of one call to a model: what is asked, what comes back, and what it cost.

All are frozen. A call ends in a reply, and a reply is a completion or a failure: both are records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """What one call to a model is for."""

    REWRITE = "rewrite"
    RESPOND = "respond"
    JUDGE = "judge"
    JUDGE_SWAPPED = "judge_swapped"
    PROBE = "probe"
    PROBE_SWAPPED = "probe_swapped"


class FinishReason(StrEnum):
    """Why a model stopped writing, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a model is asked to sample; OpenAI's names. None leaves the server's own default."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class CallKey:
    """Identity of one call: the journal holds at most one reply for it.

    `ordinal` numbers deliberate further asks (a judge asked once more), not retries.
    """

    seed: int
    purpose: Purpose
    slot: int
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call as the stages see it; the endpoint's wing knows how to send it.

    `agent` and `pair` name who is charged for it. Where `choices` are given the answer is to be one of them:
    a server that can is held to that, and tells how probable each was.
    """

    key: CallKey
    endpoint: str
    messages: tuple[Message, ...]
    params: SamplingParams
    random_seed: int
    agent: str = ""
    pair: str = ""
    choices: tuple[str, ...] = ()


def sum_known(*counts: int | None) -> int | None:
    """The sum of the counts that are known, or None where none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a server counted; `is_estimated` where it did not and we had to.

    `reasoning_tokens` are a part of the output and `cached_tokens` of the input; None where they are not told apart.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int | None = None
    is_estimated: bool = False
    cached_tokens: int | None = None

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            sum_known(self.reasoning_tokens, other.reasoning_tokens),
            self.is_estimated or other.is_estimated,
            sum_known(self.cached_tokens, other.cached_tokens),
        )


NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens of one answer, and the endpoint whose price they have. What was wasted on the way is no part of it."""

    endpoint: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """One model reply. `attempts` counts sends that the retry policy charged, this one included.

    `usage` is that of this answer; `wasted` that of earlier answers to the same call, paid for and thrown away.
    `choice_p` are the probabilities of the request's choices, where the server told them. `fingerprint` is what the
    server calls its build of the model, where it says so: a change of it, or of `model`, is another model.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    endpoint: str
    latency_s: float
    attempts: int = 1
    reasoning: str | None = None
    wasted: Usage = NOTHING
    choice_p: Mapping[str, float] | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that ended without an answer. It is a record like any other, not an exception.

    `reason` is a short fixed code for counting; `message` is one sentence for a person; `wasted` is what the
    call cost all the same.
    """

    slot: int
    purpose: Purpose
    reason: str
    message: str
    endpoint: str
    attempts: int = 1
    wasted: Usage = NOTHING


Reply = Completion | Failure
