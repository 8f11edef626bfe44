"""Tables of rows: Parquet files and data sets of the Hugging Face hub, read a slice at a time."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from star_agents.core.errors import SeedError
from star_agents.storage.row_files import RawRow, Rows, file_errors, file_sha256

SLICE_ROWS = 256
"""Rows held at once."""

HUB_SPLIT = "train"
"""The split that is read of a hub data set."""


@dataclass(frozen=True, slots=True)
class Parquet:
    """A Parquet file with one column a field."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def rows(self, start: int) -> Rows:
        """Yield the rows numbered `start` and on; row groups that end before are not read."""
        with self.opened() as table:
            number = 0
            for group in range(table.num_row_groups):
                size = table.metadata.row_group(group).num_rows
                if number + size > start:
                    yield from self._group_rows(table, group, number, start)
                number += size

    def count(self) -> int:
        """Return the number of rows, from the footer."""
        with self.opened() as table:
            return int(table.metadata.num_rows)

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        return file_sha256(self.path)

    def _group_rows(self, table: Any, group: int, first: int, start: int) -> Iterator[RawRow]:  # noqa: ANN401  # untyped
        number = first
        for batch in table.iter_batches(batch_size=SLICE_ROWS, row_groups=[group]):
            for value in batch.to_pylist():
                if number >= start:
                    yield RawRow(number, f"{self.path}: row {number + 1}", value)
                number += 1

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The file as pyarrow's `ParquetFile`.

        Raises:
            SeedError: it cannot be read.
        """
        from pyarrow import parquet

        with file_errors(self.path):
            try:
                with parquet.ParquetFile(self.path) as table:
                    yield table
            except ValueError as error:  # ArrowInvalid is one, and so is a text that is not UTF-8
                raise SeedError(f"{self.path}: not a Parquet file, or damaged ({error})") from error


@dataclass(frozen=True, slots=True)
class Hub:
    """The train split of a hub data set (`hub:org/name`), fetched once into the hub's own cache."""

    dataset: str

    @property
    def name(self) -> str:
        """The data set as a config names it."""
        return f"hub:{self.dataset}"

    def rows(self, start: int) -> Rows:
        """Yield the rows numbered `start` and on."""
        table = self._load()
        for first in range(start, len(table), SLICE_ROWS):
            columns = table[first : first + SLICE_ROWS]
            for number, cells in enumerate(zip(*columns.values(), strict=True), first):
                yield RawRow(number, f"{self.name}: row {number + 1}", dict(zip(columns, cells, strict=True)))

    def count(self) -> int:
        """Return the number of rows."""
        return len(self._load())

    def digest(self) -> str:
        """Return the SHA-256 of the name, the size and the sources, whose addresses hold the hub's commit."""
        table = self._load()
        sources = sorted(map(str, table.info.download_checksums or ()))
        return hashlib.sha256(orjson.dumps([self.dataset, HUB_SPLIT, len(table), sources])).hexdigest()

    def _load(self) -> Any:  # noqa: ANN401  # an untyped library's Dataset
        try:
            import datasets
        except ImportError as error:
            raise SeedError(f"{self.name}: needs the hub extra: pip install 'star-agents[hub]'") from error
        try:
            return datasets.load_dataset(self.dataset, split=HUB_SPLIT)
        except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
            raise SeedError(f"{self.name}: cannot be loaded: {error}") from error
