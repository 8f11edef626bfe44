"""From a run folder to a data set: rows in seed order, each file whole or absent, the same run the same bytes.

A run may be exported while it goes on; what has finished by then is what is written.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from star_agents.core.errors import StoreError
from star_agents.storage.card import Contents, card
from star_agents.storage.dead_letters import iter_dead_letters
from star_agents.storage.formats import SHAPES, ExportFormat, as_messages
from star_agents.storage.lineage import dropped, losers, selected
from star_agents.storage.publish import published, sweep
from star_agents.storage.recovery import read_standing
from star_agents.storage.rows import FinishedRow, iter_rows
from star_agents.storage.sinks import SINKS, LinesSink, Sink

DROPPED = "dropped.jsonl"
CANDIDATES = "candidates.jsonl"
CARD = "README.md"
DEAD_LETTERS = "dead-letters.jsonl"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and where."""

    data_file: Path
    contents: Contents


def export(database: Path, folder: Path, *, row_format: ExportFormat, candidates: bool = False) -> Exported:
    """Write the finished rows of a run into a folder: data file, dropped seeds, card, and the losers if asked.

    Blocks: call it from a thread where an event loop runs.

    Raises:
        StoreError: the run cannot be read, a row is damaged, or the folder cannot be written.
    """
    name, _ = SINKS[row_format]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        contents = _write_rows(database, folder, row_format=row_format, candidates=candidates)
        if not candidates:
            (folder / CANDIDATES).unlink(missing_ok=True)
        with published(folder / CARD) as stream:
            manifest = read_standing(database).manifest
            stream.write(card(manifest, contents, row_format=row_format, data_file=name).encode())
    return Exported(folder / name, contents)


def export_dead_letters(database: Path, folder: Path) -> int:
    """Write the calls that failed for good into a folder, one JSON line each; return how many there are. Blocks.

    Raises:
        StoreError: the run cannot be read, a row is damaged, or the folder cannot be written.
    """
    count = 0
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        with published(folder / DEAD_LETTERS) as stream, LinesSink(stream) as lines:
            for letter in iter_dead_letters(database):
                lines.write(asdict(letter))
                count += 1
    return count


def _write_rows(database: Path, folder: Path, *, row_format: ExportFormat, candidates: bool) -> Contents:
    name, sink = SINKS[row_format]
    contents = Contents()
    with ExitStack() as files:
        writer = _Writer(
            row_format=row_format,
            contents=contents,
            rows=files.enter_context(sink(files.enter_context(published(folder / name)))),
            dropped=files.enter_context(LinesSink(files.enter_context(published(folder / DROPPED)))),
            losers=files.enter_context(LinesSink(files.enter_context(published(folder / CANDIDATES))))
            if candidates
            else None,
        )
        for row in iter_rows(database):
            writer.write(row)
    return contents


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Deals a finished seed out to the files, and counts."""

    row_format: ExportFormat
    contents: Contents
    rows: Sink
    dropped: Sink
    losers: Sink | None

    def write(self, row: FinishedRow) -> None:
        example = selected(row)
        if example is None:
            self.dropped.write(dropped(row))
            self.contents.reasons[row.graded.selection.reason or "unknown"] += 1
        else:
            self.rows.write(SHAPES[self.row_format](example))
            self._count(dict(example.metadata))
        if self.losers is not None:
            for loser in losers(row):
                self.losers.write(as_messages(loser))
                self.contents.losers += 1

    def _count(self, metadata: dict[str, object]) -> None:
        self.contents.sources[str(metadata["source"])] += 1
        if metadata["response_agent"]:
            self.contents.pairs[f"{metadata['instruction_agent']}+{metadata['response_agent']}"] += 1
            self.contents.models[str(metadata["response_model"])] += 1


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
