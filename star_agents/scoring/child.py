"""One worker process as its parent sees it: opened, given requests, heard in their order, gone when the block ends.

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
from itertools import count
from pathlib import Path

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.scoring.messages import (
    GREETING,
    LENGTH,
    REPLY,
    Load,
    Message,
    Ready,
    Reply,
    Request,
    Withdraw,
    encode,
)

WORKER = (sys.executable, "-P", "-X", "faulthandler", "-m", "star_agents.scoring.worker")
"""The command of a worker; `-P` keeps the working directory out of its imports."""

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "PYTORCH_CUDA_ALLOC_CONF", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    }
)
"""All that a worker learns of its parent's environment. No key and no token: the hub's own login is a file."""

WORKER_ENVIRON = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve a model server on the same cores
    # glibc gives tensors of some MB back to the kernel and takes them anew, page by page: a quarter of the time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
"""What every worker is told, whatever its parent's environment."""

_STOP_GRACE_S = 5.0
_END_GRACE_S = 1.0
_SHOWN_LINES = 15
_SHOWN_BYTES = 8192


class NoRoomError(ScorerError):
    """The models do not fit into a device's memory. `device_count` is how many devices of its sort there are."""

    def __init__(self, message: str, device_count: int) -> None:
        super().__init__(message)
        self.device_count = device_count


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPlan:
    """How to start a worker. `environ` is the parent's environment, of which little is passed on.

    `threads` is its share of the cores; a number of threads that the environment names goes before it.
    """

    load: Load
    log_path: Path
    timeout_s: float
    environ: Mapping[str, str]
    threads: int = 1
    command: tuple[str, ...] = WORKER

    @property
    def env(self) -> dict[str, str]:
        """The worker's whole environment."""
        inherited = {name: value for name, value in self.environ.items() if name in _INHERITED}
        return {"OMP_NUM_THREADS": str(self.threads)} | inherited | WORKER_ENVIRON


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on its way to a worker: which one it is, from 0, and its size as a frame."""

    number: int
    num_bytes: int


class Child:
    """A running worker."""

    def __init__(self, process: Process, log_path: Path) -> None:
        assert process.stdin is not None  # noqa: S101  # both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._log_path = log_path
        self._numbers = count()
        self._killed_because = ""

    async def greet(self, load: Load, timeout_s: float) -> Ready:
        """Tell the worker what to load and wait until it has.

        Raises:
            NoRoomError: the models do not fit into the device's memory.
            WorkerDiedError: it died of trying.
            ScorerError: it cannot, or not in time.
        """
        self._write(load)
        try:
            async with asyncio.timeout(timeout_s):
                greeting = GREETING.decode(await self._frame())
        except TimeoutError:
            log = await self._last_words()
            raise ScorerError(f"a scoring process was not ready within {timeout_s:g} s{log}") from None
        if isinstance(greeting, Ready):
            return greeting
        if greeting.lacks_room:
            raise NoRoomError(greeting.message, greeting.device_count)
        raise ScorerError(f"a scoring process cannot load its models: {greeting.message}")

    def put(self, request: Request) -> Sent:
        """Send a request, without waiting. One that a dead worker never gets is no error: `receive` tells of that."""
        return Sent(next(self._numbers), self._write(request))

    def withdraw(self, sent: Sent) -> None:
        """Take a request back; where its turn has not come, its reply is `Withdrawn`."""
        self._write(Withdraw(sent.number))

    async def receive(self) -> Reply:
        """Wait for the reply to the oldest request that has none. Where this is cancelled, the worker is of no use.

        Raises:
            WorkerDiedError: the process ended.
        """
        return REPLY.decode(await self._frame())

    def _write(self, message: Message) -> int:
        """Hand a frame to the pipe, whose buffer is bounded by the few requests that a worker holds."""
        frame = encode(message)
        if not self._stdin.is_closing():
            self._stdin.write(frame)
        return len(frame)

    async def _frame(self) -> bytes:
        """The next frame of the worker's."""
        try:
            head = await self._stdout.readexactly(LENGTH.size)
            return await self._stdout.readexactly(*LENGTH.unpack(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            cause = await self._cause_of_death()
            raise WorkerDiedError(f"a scoring process {cause}{await self._last_words()}") from None

    async def _cause_of_death(self) -> str:
        """How the process ended, in words; one that has closed its output and lingers is helped along."""
        try:
            async with asyncio.timeout(_END_GRACE_S):
                code = await self._process.wait()
        except TimeoutError:
            self.kill("closed its output and did not end")
            code = await self._process.wait()
        return self._killed_because or _in_words(code)

    def kill(self, because: str = "") -> None:
        """End the process now, if it has not ended; `because` goes into the error that its death becomes."""
        self._killed_because = self._killed_because or because
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
        ScorerError: it does not get ready; see `Child.greet`.
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
    # Opened here, for a thread could leave it open where we are cancelled; to be read as well, for `worker_log`.
    with plan.log_path.open("a+b") as log:
        return await asyncio.create_subprocess_exec(
            *plan.command, stdin=PIPE, stdout=PIPE, stderr=log, env=plan.env, start_new_session=True
        )


def _tail(path: Path) -> list[str]:
    """The last lines of a log."""
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - _SHOWN_BYTES))
        return log.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LINES:]


def _in_words(code: int) -> str:
    """An exit code for a person. SIGKILL comes from the kernel where memory ran out, or from a person."""
    if code == -signal.SIGKILL:
        return "was killed by the kernel, perhaps out of memory (SIGKILL)"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
