"""A process under measurement: it says hello, and then answers each JSON line on its input by one on its output.

One that cannot be started or dies is a reason in a table, never an exception that ends a benchmark and never a gap.
"""

import json
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[2]
STOP_S = 5.0
LIMIT_S = 3600.0
"""No answer is waited for longer, whatever it is."""


class ClientDiedError(Exception):
    """The process ended, or never came up; the last line it wrote says why."""


class ClientTooSlowError(ClientDiedError):
    """The answer did not come in time, and will not be waited for."""


class Child:
    """A running process; `hello` is what it said when it was ready."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log
        self.hello = self._read()

    def ask(self, question: Mapping[str, Any], *, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Put a question, and wait for the answer, at most so many seconds.

        Raises:
            ClientDiedError: there will be none.
            ClientTooSlowError: it did not come in time; the process is of no more use.
        """
        try:
            _pipe(self._process.stdin).write(json.dumps(question) + "\n")
            _pipe(self._process.stdin).flush()
        except BrokenPipeError:
            raise ClientDiedError(self._last_words()) from None
        readable, _, _ = select.select([_pipe(self._process.stdout)], [], [], limit_s)
        if not readable:
            raise ClientTooSlowError(f"not done within {limit_s:.0f} s")
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise ClientDiedError(self._last_words())
        read: dict[str, Any] = json.loads(line)
        return read

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else "it said nothing"

    @classmethod
    @contextmanager
    def started(cls, command: Sequence[str | Path], log: Path, environ: Mapping[str, str]) -> Iterator[Self]:
        """Start a process in the repository's root, wait for its hello, and end it in the end.

        Raises:
            ClientDiedError: it did not come up.
        """
        with log.open("w") as errors, _process(command, errors, environ) as process:
            yield cls(process, log)


@contextmanager
def _process(
    command: Sequence[str | Path], errors: IO[str], environ: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """A process whose end of input is its end; killed where it does not see that."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    try:
        yield process
    finally:
        _pipe(process.stdin).close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # noqa: S101  # both were asked for
    return stream
