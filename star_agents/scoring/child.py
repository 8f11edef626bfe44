"""One worker process as its parent sees it: opened, asked one thing at a time, gone when the block ends.

Closing a worker's standard input ends it, and the parent's death closes it too. What goes wrong with the process or
its pipes becomes a `ScorerError` here and nowhere else.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.scoring.messages import GREETING, LENGTH, REPLY, Load, Message, Ready, Reply, Request, encode

WORKER = (sys.executable, "-P", "-X", "faulthandler", "-m", "star_agents.scoring.worker")
"""The command of a worker; `-P` keeps the working directory out of its imports."""

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    }
)
"""All that a worker learns of its parent's environment. No key and no token: the hub's own login is a file."""

_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve a model server on the same cores
}

_STOP_GRACE_S = 5.0
_SHOWN_LINES = 15
_SHOWN_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPlan:
    """How to start a worker. `environ` is the parent's environment, of which little is passed on."""

    load: Load
    log_path: Path
    timeout_s: float
    environ: Mapping[str, str]
    command: tuple[str, ...] = WORKER

    @property
    def env(self) -> dict[str, str]:
        """The worker's whole environment."""
        return {name: value for name, value in self.environ.items() if name in _INHERITED} | _QUIET


class Child:
    """A running worker."""

    def __init__(self, process: Process, log_path: Path) -> None:
        assert process.stdin is not None  # noqa: S101  # both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._log_path = log_path

    async def greet(self, load: Load, timeout_s: float) -> Ready:
        """Tell the worker what to load and wait until it has.

        Raises:
            ScorerError: it cannot, or not in time, or it died of trying.
        """
        try:
            async with asyncio.timeout(timeout_s):
                greeting = GREETING.decode(await self._exchange(load))
        except TimeoutError:
            log = await self._last_words()
            raise ScorerError(f"a scoring process was not ready within {timeout_s:g} s{log}") from None
        if isinstance(greeting, Ready):
            return greeting
        raise ScorerError(f"a scoring process cannot load its models: {greeting.message}")

    async def ask(self, request: Request) -> Reply:
        """Send a request and wait for its reply. Where this is cancelled, the worker must not be asked again.

        Raises:
            WorkerDiedError: the process ended before it had answered.
        """
        return REPLY.decode(await self._exchange(request))

    async def _exchange(self, message: Message) -> bytes:
        """One frame out, one frame in."""
        try:
            self._stdin.write(encode(message))
            await self._stdin.drain()
            head = await self._stdout.readexactly(LENGTH.size)
            return await self._stdout.readexactly(*LENGTH.unpack(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.kill()
            cause = _cause_of_death(await self._process.wait())
            raise WorkerDiedError(f"a scoring process {cause}{await self._last_words()}") from None

    def kill(self) -> None:
        """End the process now, if it has not ended."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Close the worker's standard input, which ends it, and see it gone."""
        self._stdin.close()
        try:
            async with asyncio.timeout(_STOP_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            pass  # it is stuck where not even the end of its input reaches it
        finally:
            self.kill()
        await self._process.wait()

    async def _last_words(self) -> str:
        """The end of the log, as an appendix to an error."""
        lines = await asyncio.to_thread(_tail, self._log_path)
        return "".join(f"\n  | {line}" for line in (f"the end of {self._log_path}:", *lines))


@asynccontextmanager
async def open_child(plan: ChildPlan) -> AsyncIterator[tuple[Child, Ready]]:
    """Start a worker and wait until it is ready; on the way out it is ended.

    Its session is its own, so a Ctrl-C on the terminal does not reach it.

    Raises:
        ScorerError: it does not get ready.
    """
    try:
        process = await _spawn(plan)
    except OSError as error:
        raise ScorerError(f"a scoring process cannot be started: {error}") from error
    child = Child(process, plan.log_path)
    try:
        yield child, await child.greet(plan.load, plan.timeout_s)
    finally:
        await child.stop()


async def _spawn(plan: ChildPlan) -> Process:
    """Start the process, with its standard error at the end of its log."""
    await asyncio.to_thread(plan.log_path.parent.mkdir, parents=True, exist_ok=True)
    # Opened here, for a thread could leave it open where we are cancelled.
    with plan.log_path.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *plan.command, stdin=PIPE, stdout=PIPE, stderr=log, env=plan.env, start_new_session=True
        )


def _tail(path: Path) -> list[str]:
    """The last lines of a log."""
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - _SHOWN_BYTES))
        return log.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:]


def _cause_of_death(code: int) -> str:
    """An exit code in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
