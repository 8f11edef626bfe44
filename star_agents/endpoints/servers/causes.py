"""Why a server ended, read from what it wrote. Pure: lines in, one cause out.

Law: a cause that no waiting mends (`may_pass` is false) is named only where the engine said so in words that
we know; everything else may pass, and whoever asks tries again. Words: vLLM 0.2x to 0.32, transformers 5, uvicorn.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from signal import SIGKILL

SHOWN = 300
"""Characters of the engine's own line that a cause quotes."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One line for a person, and whether the same start may go well the next time."""

    line: str
    may_pass: bool = True


@dataclass(frozen=True, slots=True)
class _Known:
    pattern: re.Pattern[str]
    words: str
    may_pass: bool


def _known(words: str, *patterns: str, may_pass: bool) -> _Known:
    return _Known(re.compile("|".join(f"(?:{pattern}.*)" for pattern in patterns)), words, may_pass)


_KNOWN = (
    _known(
        "it does not take one of its arguments (see `args` of the endpoint)",
        r"error: (?:unrecognized arguments|argument |ambiguous option|the following arguments)",
        r"No such option",
        r"Value error, ",
        may_pass=False,
    ),
    _known(
        "it has no chat template (a base model wants `api: completions`; else add `--chat-template FILE` to `args`)",
        r"As of transformers v4.44, default chat template is no longer",
        r"Cannot use chat template functions",
        may_pass=False,
    ),
    _known(
        "the model is gated: ask its owner for access, and set HF_TOKEN",
        r"Cannot access gated repo",
        r"You are trying to access a gated repo",
        r"is a gated repository",
        may_pass=False,
    ),
    _known(
        "there is no such model",
        r"\S+ is not a local folder and is not a valid model identifier",
        r"Repo id must be ",
        r"Invalid repository ID or local directory",
        r"Repository Not Found",
        r"\S+ does not appear to have a file named",
        may_pass=False,
    ),
    _known(
        "this version cannot serve the model",
        r"Model architectures? .* not supported",
        r".*does not recognize this architecture",
        may_pass=False,
    ),
    _known(
        "the model leaves no room for its cache (lower --max-model-len, or raise --gpu-memory-utilization)",
        r"No available memory for the cache blocks",
        r"To serve at least one request",
        may_pass=False,
    ),
    _known(
        "memory ran out",
        r"Free memory on device .* less than desired",
        r"Available memory on node .* less than",
        r"Error in memory profiling",
        r"(?:CUDA|HIP) out of memory",
        r"\S*OutOfMemoryError",
        r".*DefaultCPUAllocator",
        r".*Cannot allocate memory",
        r"MemoryError\b",
        may_pass=True,
    ),
    _known("its port is taken", r"Address already in use", r"error while attempting to bind on address", may_pass=True),
    _known("the disk is full", r"No space left on device", may_pass=True),
    _known(
        "the model cannot be fetched now", r"We couldn't connect to ", r"Max retries exceeded with url", may_pass=True
    ),
)
"""The first row that any line fits is the cause: what nothing mends stands first."""

_ERROR = re.compile(r"^(?:\(.*?\) )?(?:ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception|Interrupt): .+)")
"""The last line of a traceback, with or without what vLLM writes before it."""
_ECHO = re.compile(r"Engine core initialization failed|EngineDeadError|EngineCore encountered|Worker failed with error")
"""Errors of vLLM that only pass on another one."""


def cause_of(lines: Sequence[str], code: int | None) -> Cause:
    """The cause of an end with this exit code (None where it was not an end), by the last lines of the log."""
    for known in _KNOWN:
        if found := _last(known.pattern, lines):
            return Cause(f"{known.words}: {found[:SHOWN]}", known.may_pass)
    if error := next(filter(None, map(_own_error, reversed(lines))), None):
        return Cause(error[:SHOWN])
    if any("EngineDeadError" in line for line in lines):
        return Cause("its engine was killed, or crashed without a word")
    if code == -SIGKILL:
        return Cause("it was killed; where nobody did that, the machine's memory ran out (see `dmesg`)")
    return Cause("it does not say why")


def _last(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    return next((found[0] for line in reversed(lines) if (found := pattern.search(line))), None)


def _own_error(line: str) -> str | None:
    found = _ERROR.match(line)
    return None if found is None or _ECHO.search(line) else found[1]
