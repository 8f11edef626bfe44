"""What to do about a failed call: one table, one decision. There is no other loop of retries anywhere.

Laws: a request is sent at most `MAX_CHARGED` times on its own account; no retry is decided after the deadline;
what is no fault of the request (a rate limit, a probe of a dead server, a connection never made) is not charged
to it; a server that fails one request in the same words each time, and answers others meanwhile, is not asked
again. Classes and numbers: docs/endpoints.md. How many retries an endpoint may see: `retry_budget`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from star_agents.core.errors import (
    AuthFailedError,
    BadRequestError,
    ConnectFailedError,
    ConnectionLostError,
    FilteredReplyError,
    MisdirectedError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitedError,
    ReplyError,
    StarError,
    TimedOutError,
    UnreadableReplyError,
)

MAX_CHARGED = 4
"""Sends that may be charged to one request, the first included."""
MAX_SAMPLES = 2
"""New samples asked for after a useless reply."""
MAX_SAME = 4
"""Times that one request may meet the same server error, charged or not, while others are answered: it is its own."""
BACKOFF_S = (0.5, 30.0)
"""First and greatest ceiling of the back-off between tries; it doubles in between."""
PAUSE_S = (1.0, 60.0)
"""The same for a rate limit whose server does not say when it ends."""
PAUSE_SPREAD = 0.2
"""A server's own time is stretched by up to this share, so that not everybody returns at once."""


class RetryClass(StrEnum):
    """What a failure calls for."""

    NEW_CONNECTION = "N"
    """Never accepted: once more at once, not charged; after that it counts as transient."""
    TRANSIENT = "T"
    """Back off with full jitter and try again."""
    RATE_LIMIT = "L"
    """Pause the whole endpoint; not charged."""
    QUALITY = "Q"
    """The model's doing: a new sample, a few times."""
    ENDPOINT = "X"
    """The endpoint is of no use to anybody: stop sending to it."""
    PERMANENT = "P"
    """This request will never do."""


CLASS_OF: Mapping[type[StarError], RetryClass] = MappingProxyType(
    {
        ConnectFailedError: RetryClass.NEW_CONNECTION,
        ConnectionLostError: RetryClass.TRANSIENT,
        TimedOutError: RetryClass.TRANSIENT,
        OverloadedError: RetryClass.TRANSIENT,
        UnreadableReplyError: RetryClass.TRANSIENT,
        RateLimitedError: RetryClass.RATE_LIMIT,
        ReplyError: RetryClass.QUALITY,
        AuthFailedError: RetryClass.ENDPOINT,
        QuotaExhaustedError: RetryClass.ENDPOINT,
        MisdirectedError: RetryClass.ENDPOINT,
        BadRequestError: RetryClass.PERMANENT,
        FilteredReplyError: RetryClass.PERMANENT,
    }
)
"""The table; a class that is not in it goes by its nearest ancestor that is, and else is permanent."""


def retry_class(error: StarError) -> RetryClass:
    """Look the error up."""
    return next((CLASS_OF[kind] for kind in type(error).__mro__ if kind in CLASS_OF), RetryClass.PERMANENT)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one request has been through so far. `charged` counts sends on its own account."""

    charged: int = 0
    reconnects: int = 0
    samples: int = 0
    limited: int = 0
    """Rate limits in a row."""
    complaint: str = ""
    """What the server said last."""
    same: int = 0
    """Times in a row that it said so while it answered others."""

    def after(self, step: "Retry", failed: "Failed") -> "Tried":
        """The same with one more failure, of which `step` was decided."""
        kind = retry_class(failed.error)
        return replace(
            self,
            charged=self.charged + step.is_charged,
            reconnects=self.reconnects + (kind is RetryClass.NEW_CONNECTION),
            samples=self.samples + (kind is RetryClass.QUALITY),
            limited=self.limited + 1 if kind is RetryClass.RATE_LIMIT else 0,
            complaint=str(failed.error),
            same=_same(failed),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One failed send and where it stands. `jitter` is uniform in [0, 1)."""

    error: StarError
    tried: Tried = field(default_factory=Tried)
    elapsed_s: float = 0.0
    """Since the request first failed."""
    deadline_s: float
    jitter: float
    is_probe: bool = False
    """The send was the one that asks whether a dead endpoint lives: its failure is not the request's."""
    has_other_replica: bool = False
    answers_others: bool = False
    """The endpoint has answered a call since this one was sent."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, in `after_s` seconds at the soonest."""

    after_s: float
    is_charged: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again; why is one of `permanent`, `endpoint`, `attempts`, `samples`, `same` and `deadline`."""

    reason: str


def decide(failed: Failed) -> Retry | GiveUp:
    """The one decision, from the class of the error and what was tried before."""
    step = _RULES[retry_class(failed.error)](failed)
    if isinstance(step, Retry) and failed.elapsed_s >= failed.deadline_s:
        return GiveUp("deadline")
    return step


def needs_budget(failed: Failed) -> bool:
    """True where the retry of this is one that the endpoint's `RetryBudget` must allow.

    A probe is let out by the breaker, a rate limit by its pause, and a new sample is asked of a server that works.
    """
    return retry_class(failed.error) in _BUDGETED and not failed.is_probe


def pause_s(failed: Failed) -> float:
    """For how long nobody should send to the endpoint after this; 0 for everything but a rate limit."""
    if not isinstance(failed.error, RateLimitedError):
        return 0.0
    if failed.error.retry_after_s is None:
        return full_jitter(PAUSE_S, failed.tried.limited, failed.jitter)
    return failed.error.retry_after_s * (1 + PAUSE_SPREAD * failed.jitter)


def full_jitter(ceilings_s: tuple[float, float], failures: int, jitter: float) -> float:
    """A wait drawn evenly below a ceiling that doubles with each failure (AWS's "full jitter"), in seconds."""
    first, greatest = ceilings_s
    return min(greatest, first * 2.0 ** min(failures, 60)) * jitter


def _reconnect(failed: Failed) -> Retry | GiveUp:
    if not failed.tried.reconnects and not failed.is_probe:
        return Retry(0.0, is_charged=False)
    return _back_off(failed)


def _back_off(failed: Failed) -> Retry | GiveUp:
    if isinstance(failed.error, OverloadedError) and _same(failed) >= MAX_SAME:
        return GiveUp("same")
    if failed.is_probe:
        return Retry(0.0, is_charged=False)  # the breaker makes it wait
    if failed.tried.charged + 1 >= MAX_CHARGED:
        return GiveUp("attempts")
    wish = failed.error.retry_after_s if isinstance(failed.error, OverloadedError) else None
    return Retry(max(full_jitter(BACKOFF_S, failed.tried.charged, failed.jitter), wish or 0.0))


def _same(failed: Failed) -> int:
    """Times in a row, this one included, that the server failed the request in the same words and answered others."""
    if not failed.answers_others:
        return 0
    return failed.tried.same + 1 if str(failed.error) == failed.tried.complaint else 1


def _wait_for_the_gate(_: Failed) -> Retry | GiveUp:
    return Retry(0.0, is_charged=False)  # the pause makes it wait: it is let in through the gate, not by a timer


def _sample_again(failed: Failed) -> Retry | GiveUp:
    return GiveUp("samples") if failed.tried.samples >= MAX_SAMPLES else Retry(0.0)


def _go_elsewhere(failed: Failed) -> Retry | GiveUp:
    return Retry(0.0, is_charged=False) if failed.has_other_replica else GiveUp("endpoint")


def _refuse(_: Failed) -> Retry | GiveUp:
    return GiveUp("permanent")


_BUDGETED = frozenset({RetryClass.NEW_CONNECTION, RetryClass.TRANSIENT})

_RULES = MappingProxyType(
    {
        RetryClass.NEW_CONNECTION: _reconnect,
        RetryClass.TRANSIENT: _back_off,
        RetryClass.RATE_LIMIT: _wait_for_the_gate,
        RetryClass.QUALITY: _sample_again,
        RetryClass.ENDPOINT: _go_elsewhere,
        RetryClass.PERMANENT: _refuse,
    }
)
