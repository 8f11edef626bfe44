"""From a run folder to a data set: rows in seed order, each file whole or absent, the same run the same bytes.

A run may be exported while it goes on; what has finished by then is what is written. Rows pass one by one through
whatever filters are asked for, so memory does not grow with them, but for the index of a filter against duplicates.
Law: every finished seed is a row of a data file or a line of the file of dropped seeds, and the card counts both. Rows
whose file is lost are in neither; an export without them is made only where that is asked for, and its card says so.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from star_agents.core.errors import StoreError
from star_agents.storage.arrow_folder import arrow_folder
from star_agents.storage.benchmarks import Benchmarks
from star_agents.storage.card import Contents, card
from star_agents.storage.dead_letters import iter_dead_letters
from star_agents.storage.formats import SHAPES, ExportFormat, as_messages, as_preference
from star_agents.storage.lost import OnLost
from star_agents.storage.near_duplicates import Sieve
from star_agents.storage.picks import TAKE_ALL, Choice, Left, Pick, Preferences, picks
from star_agents.storage.publish import published, sweep
from star_agents.storage.recovery import read_standing
from star_agents.storage.rows import FinishedRow, iter_rows
from star_agents.storage.sinks import SINKS, LinesSink, Sink
from star_agents.storage.splits import Split, split_of

DROPPED = "dropped.jsonl"
CANDIDATES = "candidates.jsonl"
CONTAMINATED = "contaminated.jsonl"
CARD = "README.md"
DEAD_LETTERS = "dead-letters.jsonl"

Tell = Callable[[int], None]
"""Told how many finished seeds have been looked at; may raise, which ends the export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is left out of an export, and what is kept for testing.

    Filters work in this order: `choice`, `benchmarks`, `duplicates`. `licence` is an SPDX identifier for the card. With
    `allow_missing` rows whose file is gone or damaged are left out.
    """

    choice: Choice = TAKE_ALL
    benchmarks: Benchmarks | None = None
    duplicates: Sieve | None = None
    test_share: float = 0.0
    licence: str = ""
    allow_missing: bool = False


DEFAULTS = ExportOptions()


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and where."""

    data_file: Path
    contents: Contents


def export(
    database: Path,
    folder: Path,
    *,
    row_format: ExportFormat,
    candidates: bool = False,
    options: ExportOptions = DEFAULTS,
    tell: Tell = lambda _: None,
) -> Exported:
    """Write the finished rows of a run into a folder: data files, dropped seeds, card, and the losers if asked.

    Blocks: call it from a thread where an event loop runs.

    Raises:
        ConfigError: the format needs a library that is not installed.
        LostFileError: a file of finished rows is gone or damaged, and that is not allowed.
        StoreError: the run cannot be read, a row is damaged, or the folder cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        options = replace(options, choice=_completed(options.choice, row_format, candidates=candidates))
        files = _Files.of(row_format, options)
        contents = Contents()
        on_lost = contents.lost.append if options.allow_missing else None
        rows = _watched(iter_rows(database, on_lost=on_lost), tell)
        with files.open(folder, row_format) as sinks:
            writer = _Writer(row_format=row_format, test_share=options.test_share, contents=contents, sinks=sinks)
            for item in _filtered(rows, options, sinks["contaminated"].write):
                writer.write(item)
        files.drop_others(folder)
        with published(folder / CARD) as stream:
            manifest = read_standing(database).manifest
            found = files.patterns(contents)
            text = card(manifest, contents, row_format=row_format, data_files=found, licence=options.licence)
            stream.write(text.encode())
    return Exported(folder / files.data["train"], contents)


def export_dead_letters(database: Path, folder: Path, on_lost: OnLost | None = None) -> int:
    """Write the calls that failed for good into a folder, one JSON line each; return how many there are. Blocks.

    With `on_lost` those whose file is lost are left out, and it is told.

    Raises:
        StoreError: the run cannot be read, a row is damaged, or the folder cannot be written.
    """
    count = 0
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        with published(folder / DEAD_LETTERS) as stream, LinesSink(stream) as lines:
            for letter in iter_dead_letters(database, on_lost):
                lines.write(asdict(letter))
                count += 1
    return count


def _completed(choice: Choice, row_format: ExportFormat, *, candidates: bool) -> Choice:
    """Pairs are taken for the format that has them, and for no other."""
    preferences = (choice.preferences or Preferences()) if row_format == "dpo" else None
    return replace(choice, preferences=preferences, with_losers=candidates)


def _filtered(
    rows: Iterator[FinishedRow], options: ExportOptions, report: Callable[[dict[str, Any]], None]
) -> Iterator[Pick | Left]:
    stream = picks(rows, options.choice)
    if options.benchmarks is not None:
        stream = options.benchmarks.sift(stream, lambda overlap: report(asdict(overlap)))
    return stream if options.duplicates is None else options.duplicates(stream)


def _watched(rows: Iterator[FinishedRow], tell: Tell) -> Iterator[FinishedRow]:
    for count, row in enumerate(rows, start=1):
        yield row
        tell(count)


class _Nowhere:
    """Takes what nobody asked for."""

    def write(self, row: dict[str, Any]) -> None:
        """Forget it."""


Writes = Sink | _Nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Which files an export has: the data by split, and the others by what they hold."""

    data: Mapping[Split, str]
    others: Mapping[str, str]

    @classmethod
    def of(cls, row_format: ExportFormat, options: ExportOptions) -> "_Files":
        name, _ = SINKS[row_format]
        splits: tuple[Split, ...] = ("train", "test") if options.test_share else ("train",)
        wanted = {"dropped": DROPPED}
        wanted |= {"losers": CANDIDATES} if options.choice.with_losers else {}
        wanted |= {"contaminated": CONTAMINATED} if options.benchmarks is not None else {}
        return cls(data={split: name.replace("train", split) for split in splits}, others=wanted)

    def patterns(self, contents: Contents) -> dict[Split, str]:
        """The data files as `datasets` finds them, without an empty test half, which it could not load."""
        there = {split: name for split, name in self.data.items() if split == "train" or contents.splits[split]}
        return {split: name if "." in name else f"{name}/*.arrow" for split, name in there.items()}

    @contextmanager
    def open(self, folder: Path, row_format: ExportFormat) -> Iterator[dict[str, Writes]]:
        """A sink for each; all appear when the block ends well."""
        _, kind = SINKS[row_format]
        with ExitStack() as stack:
            sinks: dict[str, Writes] = {"losers": _Nowhere(), "contaminated": _Nowhere()}
            for what, name in self.others.items():
                sinks[what] = stack.enter_context(LinesSink(stack.enter_context(published(folder / name))))
            if row_format == "datasets":
                tables = stack.enter_context(arrow_folder(folder, tuple(self.data)))
                sinks.update((split, table) for split, table in tables.items())
            else:
                for split, name in self.data.items():
                    sinks[split] = stack.enter_context(kind(stack.enter_context(published(folder / name))))
            yield sinks

    def drop_others(self, folder: Path) -> None:
        """Remove what an earlier export with other options left."""
        for name in (CANDIDATES, CONTAMINATED):
            if name not in self.others.values():
                (folder / name).unlink(missing_ok=True)
        if "test" not in self.data and "." in self.data["train"]:
            (folder / self.data["train"].replace("train", "test")).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Deals what a finished seed gives out to the files, and counts."""

    row_format: ExportFormat
    test_share: float
    contents: Contents
    sinks: Mapping[str, Writes]

    def write(self, item: Pick | Left) -> None:
        if isinstance(item, Left):
            told = {"seed": item.seed, "source_id": item.source_id, "reason": item.reason, "pi": item.pi}
            self.sinks["dropped"].write(told | {"detail": item.detail})
            self.contents.reasons[item.reason] += 1
        else:
            split = split_of(item.split_key, self.test_share)
            self.sinks[split].write(_shaped(item, self.row_format))
            self.contents.count(split, dict(item.example.metadata))
        for loser in item.others:
            self.sinks["losers"].write(as_messages(loser))
            self.contents.losers += 1


def _shaped(pick: Pick, row_format: ExportFormat) -> dict[str, Any]:
    if row_format != "dpo":
        return SHAPES[row_format](pick.example)
    assert pick.rejected is not None  # noqa: S101  # a choice without preferences has no pairs
    return as_preference(pick.example, pick.rejected)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
