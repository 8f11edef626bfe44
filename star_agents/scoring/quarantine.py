"""Samples that no worker survives are noted in the run's folder, and never tried again: not in this run, nor after it.

One JSON line a sample, synced before its error is acted on. It names the sample by a digest and its lengths: the texts
are in the store, and may be private. To have a sample tried again, take its line out while nothing runs.
"""

import asyncio
import logging
import os
from hashlib import blake2b
from pathlib import Path

import orjson

from star_agents.core import clock
from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample

_log = logging.getLogger(__name__)


class Quarantine:
    """The samples of one file, or of this life only where there is none."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._names: set[str] = set()

    def __contains__(self, sample: Sample) -> bool:
        return bool(self._names) and name_of(sample) in self._names

    def __len__(self) -> int:
        return len(self._names)

    async def load(self) -> None:
        """Take up what earlier starts have noted.

        Raises:
            ScorerError: the file cannot be read.
        """
        if self._file is not None:
            self._names |= await asyncio.to_thread(_read, self._file)

    async def add(self, sample: Sample, cause: str) -> None:
        """Note a sample; `cause` is how the last worker died of it.

        Raises:
            ScorerError: the note cannot be written.
        """
        name = name_of(sample)
        if name in self._names:
            return
        self._names.add(name)
        lengths = {f"{field}_chars": len(getattr(sample, field)) for field in ("instruction", "context", "response")}
        note = {"sample": name, "at": clock.wall(), "cause": cause.partition("\n")[0], **lengths}
        _log.error("sample quarantined: %s", note)
        if self._file is not None:
            await asyncio.to_thread(_append, self._file, orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE))


def name_of(sample: Sample) -> str:
    """A digest of a sample's texts, 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    for text in (sample.instruction, sample.context, sample.response):
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def _read(file: Path) -> set[str]:
    """The names in a file; a line that a crash cut off is passed over."""
    try:
        lines = file.read_bytes().splitlines() if file.exists() else []
    except OSError as error:
        raise ScorerError(f"cannot read {file}: {error}") from error
    found = set()
    for line in lines:
        try:
            found.add(str(orjson.loads(line)["sample"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            _log.warning("a line of %s cannot be read; its sample may be tried again", file)
    return found


def _append(file: Path, line: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" + line if is_torn else line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ScorerError(f"cannot note a sample in {file}: {error}") from error
