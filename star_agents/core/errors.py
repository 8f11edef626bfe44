"""One tree of errors. A class answers two questions by attribute, never by its text.

`retryable`: may the same thing be tried again as it is? `blames`: who is at fault: `user`,
`endpoint`, `request` (this item alone) or `us`. Foreign exceptions are translated in one place per wing.
Messages name the thing, the value and the mend, and never hold a secret.
"""

from typing import ClassVar, Literal

from star_agents.core.calls import NOTHING, Usage

Blame = Literal["user", "endpoint", "request", "us"]


class StarError(Exception):
    """Root of everything the package raises on purpose. `reason` is a fixed code for counting."""

    retryable: ClassVar[bool] = False
    blames: ClassVar[Blame] = "us"
    reason: ClassVar[str] = "error"


class ConfigError(StarError):
    """The user must edit a file; `problems` holds one line for each thing to mend, all found at once."""

    blames: ClassVar[Blame] = "user"
    reason = "config"

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SeedError(StarError):
    """A data set cannot be read, or too many of its rows are unusable."""

    blames: ClassVar[Blame] = "user"
    reason = "seed"


class RunInUseError(StarError):
    """Another process holds the run folder."""

    blames: ClassVar[Blame] = "user"
    reason = "run_in_use"


class RunExistsError(StarError):
    """The run folder holds a run, and nobody said to go on with it."""

    blames: ClassVar[Blame] = "user"
    reason = "run_exists"


class PortTakenError(StarError):
    """A port that the config names is in use by another program."""

    blames: ClassVar[Blame] = "user"
    reason = "port_taken"


class NotNowError(StarError):
    """A run is not in a state for what is asked of it; the message says which it is in."""

    blames: ClassVar[Blame] = "user"
    reason = "not_now"


class ServiceGoneError(StarError):
    """Nobody answers where a service is said to be; it may come back."""

    retryable = True
    blames: ClassVar[Blame] = "user"
    reason = "service_gone"


class ServiceRefusedError(StarError):
    """A service says no; `status` is the HTTP status of its answer."""

    blames: ClassVar[Blame] = "user"
    reason = "service_refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StoreError(StarError):
    """The store cannot be trusted to hold what it was told: stop at once, never go on without a journal."""

    reason = "store"


class ModelServerError(StarError):
    """A model server that we start did not come up, or died and would not stay up."""

    reason = "model_server"


class ModelFetchError(StarError):
    """A packaged model cannot be fetched, or what was fetched is not what its checksum says."""

    reason = "model_fetch"


class HubError(StarError):
    """A hub does not take a data set, or cannot be reached."""

    retryable = True
    blames: ClassVar[Blame] = "user"
    reason = "hub"


class CallError(StarError):
    """One call to a model ended without a usable reply.

    `attempts` and `wasted` are set by whoever gives the call up: charged sends, and tokens that were served to it
    all the same. On the error of a single send `wasted` is what that send cost.
    """

    attempts: int = 1
    wasted: Usage = NOTHING


class EndpointError(CallError):
    """A call to a model endpoint failed before there was a usable reply."""

    blames: ClassVar[Blame] = "endpoint"
    reason = "endpoint"


class ConnectFailedError(EndpointError):
    """No connection: refused, no such host, or closed before the request was taken."""

    retryable = True
    reason = "connect"


class NoSuchHostError(ConnectFailedError):
    """The host's name does not resolve."""

    reason = "dns"


class ConnectionLostError(EndpointError):
    """The connection broke or the body ended early; whatever had arrived is thrown away."""

    retryable = True
    reason = "connection_lost"


class IncompleteReplyError(ConnectionLostError):
    """A stream ended in good order and did not say that the answer was over."""

    reason = "incomplete"


class TimedOutError(EndpointError):
    """A deadline passed: connect, first byte, idle or total; the message names the setting."""

    retryable = True
    reason = "timeout"


class OverloadedError(EndpointError):
    """The server says it cannot serve now (408, 409, 5xx, 529). `retry_after_s` as in `RateLimitedError`."""

    retryable = True
    reason = "server_error"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimitedError(EndpointError):
    """429. `retry_after_s` is the server's own wish, already clamped, or None where it gave none."""

    retryable = True
    reason = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AuthFailedError(EndpointError):
    """401 or 403: the key, not the request, is wrong."""

    reason = "auth"


class QuotaExhaustedError(EndpointError):
    """429 that waiting does not mend: the account has no credit left."""

    reason = "quota"


class BadRequestError(EndpointError):
    """The server refuses this request for what it says (any other 4xx)."""

    blames: ClassVar[Blame] = "request"
    reason = "bad_request"


class ContextOverflowError(BadRequestError):
    """Prompt and answer do not fit the model's context."""

    reason = "context_overflow"


class MisdirectedError(EndpointError):
    """404, a redirect or a page that is no API: the URL or the model's name is wrong."""

    reason = "misdirected"


class ReplyError(CallError):
    """The call succeeded and the reply is of no use."""

    blames: ClassVar[Blame] = "request"
    retryable = True
    reason = "reply"


class EmptyReplyError(ReplyError):
    """No text in the reply."""

    reason = "empty"


class ReasoningOnlyError(EmptyReplyError):
    """The model thought and said nothing: a larger token budget may help."""

    reason = "reasoning_only"


class FilteredReplyError(ReplyError):
    """The provider or the model declined to answer. An outcome like any other: asking again does not mend it."""

    retryable = False
    reason = "content_filter"


class UnreadableReplyError(ReplyError):
    """The body is not the JSON the API promises."""

    reason = "unreadable"


class RunawayReplyError(ReplyError):
    """The reply grew past every measure and was cut off."""

    reason = "runaway"


class EventTooLargeError(ReplyError):
    """One event of a stream grew past every measure."""

    reason = "event_too_large"


class ScorerError(StarError):
    """Scoring could not be done."""

    reason = "scorer"


class WorkerDiedError(ScorerError):
    """A scorer's child process ended while it held work."""

    retryable = True
    reason = "worker_died"


def reasons(kind: type[StarError]) -> frozenset[str]:
    """The codes of a kind of error and of all that are more special."""
    return frozenset((kind.reason,)).union(*map(reasons, kind.__subclasses__()))
