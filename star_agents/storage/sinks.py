"""Where exported rows go: JSON lines, a JSON array, Parquet or Arrow. The same rows give the same bytes."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import orjson

from star_agents.storage.formats import ExportFormat
from star_agents.storage.lineage import METADATA

GROUP_ROWS = 1024
"""Rows of one group of a table, and all that is held at once."""


class Sink(Protocol):
    """Takes rows one by one. Leaving it without an error completes the file."""

    def write(self, row: dict[str, Any]) -> None:
        """Take one row."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Plain:
    """Nothing to do at either end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class LinesSink(_Plain):
    """One JSON object a line."""

    def write(self, row: dict[str, Any]) -> None:
        """Take one row."""
        self._stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


class ArraySink(_Plain):
    """One JSON array, a row a line, as the first readers of Alpaca and ShareGPT data load it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._lead = b"[\n"

    def write(self, row: dict[str, Any]) -> None:
        """Take one row."""
        self._stream.write(self._lead + orjson.dumps(row))
        self._lead = b",\n"

    def __exit__(self, *_: object) -> None:
        self._stream.write(b"[]\n" if self._lead == b"[\n" else b"\n]\n")


class _TableSink:
    """Groups of rows of a fixed schema, so that a column of nulls is still a column of numbers."""

    def __init__(self, writer: Any, schema: Any) -> None:  # noqa: ANN401  # pyarrow is untyped
        self._schema = schema
        self._writer = writer
        self._rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        """Take one row."""
        self._rows.append(row)
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


class ParquetSink(_TableSink):
    """A Parquet file."""

    def __init__(self, stream: BinaryIO) -> None:
        from pyarrow import parquet

        schema = _schema()
        super().__init__(parquet.ParquetWriter(stream, schema, compression="zstd"), schema)


class ArrowSink(_TableSink):
    """An Arrow stream."""

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow as pa

        schema = _schema()
        super().__init__(pa.ipc.new_stream(stream, schema), schema)


SINKS: dict[ExportFormat, tuple[str, Callable[[BinaryIO], Sink]]] = {
    "messages": ("train.jsonl", LinesSink),
    "alpaca": ("train.json", ArraySink),
    "sharegpt": ("train.json", ArraySink),
    "parquet": ("train.parquet", ParquetSink),
    "datasets": ("train", ArrowSink),
    "dpo": ("train.jsonl", LinesSink),
}
"""The name of the data file in each format, and what writes it; of `datasets` it is a folder (`arrow_folder`)."""


def _schema() -> Any:  # noqa: ANN401  # pyarrow is untyped
    import pyarrow as pa

    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    metadata = pa.struct([(key, kinds[kind]) for key, kind in METADATA.items()])
    return pa.schema([("messages", pa.list_(turn)), ("metadata", metadata)])
