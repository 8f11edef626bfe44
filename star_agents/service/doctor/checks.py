"""Looking a machine, a config or a run over before anything depends on it: each check says ok, warn or fail.

Laws: every check has a deadline and they run at the same time, so that one server that hangs hides nothing; what is
wrong is said with its mend; nothing is started, and nothing is written.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from star_agents.core.errors import CallError, ConfigError, ModelServerError, StarError, StoreError

T = TypeVar("T")

DEADLINE_S = 30.0
"""Of a check that does not say otherwise: preflight alone asks for up to ten seconds."""


class Level(StrEnum):
    """How a check ended; only `FAIL` would stop a run, or harm it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Cause(StrEnum):
    """What a failure lies at."""

    CONFIG = "config"
    UNAVAILABLE = "unavailable"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was seen there, and what to do about it."""

    subject: str
    level: Level
    seen: str
    mend: str = ""
    cause: Cause | None = None
    """Of a failure."""


Findings = Iterable[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something to look at. `look` raises `StarError` for what is wrong, with the mend in its words."""

    subject: str
    look: Callable[[], Awaitable[Findings]]
    deadline_s: float = DEADLINE_S


def ok(subject: str, seen: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.OK, seen)


def warn(subject: str, seen: str, mend: str = "") -> Finding:
    """It would run, though not as one may think."""
    return Finding(subject, Level.WARN, seen, mend)


def fail(subject: str, seen: str, mend: str = "", *, cause: Cause = Cause.CONFIG) -> Finding:
    """It would not run."""
    return Finding(subject, Level.FAIL, seen, mend, cause)


async def examined(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Make every check at once; findings come in the order of the checks."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_looked(check), name=f"check of {check.subject}") for check in checks]
    return tuple(finding for task in tasks for finding in task.result())


async def _looked(check: Check) -> list[Finding]:
    subject = check.subject
    try:
        async with asyncio.timeout(check.deadline_s):
            return list(await check.look())
    except TimeoutError:
        seen = f"no answer within {check.deadline_s:g} s"
        mend = "it hangs: see whether the disk, the driver or the server does"
        return [fail(subject, seen, mend, cause=Cause.UNAVAILABLE)]
    except ConfigError as error:
        return [fail(subject, problem) for problem in error.problems]
    except StarError as error:
        return [fail(subject, line, cause=cause_of(error)) for line in str(error).splitlines()]
    except OSError as error:
        return [fail(subject, str(error), "see whether it is there, and may be read")]


_CAUSES: tuple[tuple[type[StarError], Cause], ...] = (
    (StoreError, Cause.STORE),
    (CallError, Cause.UNAVAILABLE),
    (ModelServerError, Cause.UNAVAILABLE),
)


def cause_of(error: StarError) -> Cause:
    """Whether it is the store, somebody else, or the config that is to be mended."""
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.CONFIG)


async def in_thread(work: Callable[[], T]) -> T:
    """Do blocking work where it may hang for good: nobody waits for the thread, not even the end of the process."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from here on nobody can cancel it, so the thread may always tell

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="check", daemon=True).start()
    return await asyncio.wrap_future(done)
