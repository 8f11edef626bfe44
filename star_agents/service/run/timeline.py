"""How a run went over time: seeds, tokens by endpoint and dollars every few seconds, over all of its starts.

Laws: however long a run lasts it is at most `MOST` samples, and the newest half of them is never thinned: what is
older gets coarser, the older the more. The file can be done without; a line of it that cannot be read is left out.
Samples hold totals, so a rate between any two that are left is right. In memory a sample is its line of the file:
as objects it would take more than twice as much, and a run grow by that for its first hours.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from star_agents.core import clock
from star_agents.service.run.address import write_private
from star_agents.service.view.status import RunStatus

TIMELINE_FILE = "timeline.jsonl"

SAMPLE_S = 5.0
"""How often a sample is taken."""

MOST = 2048

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Totals over all starts at one moment; `start` counts the starts, so that no rate is drawn over a gap.

    `at` is the wall time (ISO 8601, UTC), for people. `usd` is None where nothing has a price. `tokens` are all that an
    endpoint served.
    """

    number: int
    start: int
    at: str
    done: int
    kept: int
    usd: float | None = None
    tokens: dict[str, int] = field(default_factory=dict)


_SAMPLE = TypeAdapter(Sample)


class Timeline:
    """The samples of one run, in memory and in a file of its folder."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._number = 0
        self._start = 1
        self._adding = threading.Lock()

    def load(self) -> None:
        """Read what earlier starts left. Blocks."""
        with suppress(OSError):
            content = self._file.read_bytes()
            for sample in _readable(content.splitlines()):
                self._lines.append(_line(sample))
                self._number, self._start = sample.number, sample.start + 1
            self._lines = thinned(self._lines)
            if not content.endswith(b"\n"):  # a crash: what is appended must not join half a line
                self._write()

    def after(self, number: int) -> list[Sample]:
        """The samples after one, oldest first."""
        newer = takewhile(lambda sample: sample.number > number, map(_SAMPLE.validate_json, reversed(self._lines)))
        return list(newer)[::-1]

    async def keep(self, status: Callable[[], RunStatus]) -> None:
        """Note a snapshot now and then; ends only by being cancelled."""
        while True:
            await self.note(status())
            await asyncio.sleep(SAMPLE_S)

    async def note(self, status: RunStatus) -> None:
        """Make a sample of a snapshot and keep it. One that cannot be written is told, and not missed."""
        await asyncio.to_thread(self._add, status, clock.wall())

    def _add(self, status: RunStatus, at: str) -> None:
        with self._adding:  # a note that was cancelled may still be at it
            self._number += 1
            line = _line(self._sample(status, at))
            before, self._lines = len(self._lines), thinned([*self._lines, line])
            try:
                if len(self._lines) > before:
                    _append(self._file, line)
                else:
                    self._write()
            except OSError as error:
                log.warning("%s: not written (%s): a later start will not show this time", self._file, error)

    def _sample(self, status: RunStatus, at: str) -> Sample:
        bill = status.bill
        return Sample(
            number=self._number,
            start=self._start,
            at=at,
            done=status.seeds_done,
            kept=status.seeds_kept,
            usd=None if bill is None else bill.total.usd,
            tokens={} if bill is None else {line.name: line.tokens for line in bill.endpoints},
        )

    def _write(self) -> None:
        write_private(self._file, b"".join(self._lines))


def read_samples(file: Path) -> list[Sample]:
    """The samples that a run left, oldest first; none where there is no file. Changes nothing. Blocks."""
    try:
        return thinned(list(_readable(file.read_bytes().splitlines())))
    except OSError:
        return []


def thinned(samples: list[T]) -> list[T]:
    """The same samples, or where they are too many, every second one of the older half with the newer half."""
    if len(samples) < MOST:
        return samples
    newer = len(samples) - MOST // 2
    return samples[:newer:2] + samples[newer:]


def _readable(lines: Sequence[bytes]) -> Iterator[Sample]:
    for line in lines:
        with suppress(ValidationError):  # the last one may be half of one
            yield _SAMPLE.validate_json(line)


def _line(sample: Sample) -> bytes:
    return orjson.dumps(sample) + b"\n"


def _append(file: Path, content: bytes) -> None:
    with file.open("ab") as stream:
        if stream.tell() == 0:
            file.chmod(0o600)
        stream.write(content)
