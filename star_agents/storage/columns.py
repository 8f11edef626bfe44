"""Columns of plain values as Arrow arrays.

Law: the arrays are those that `pyarrow.array` makes, and pandas is not loaded for them. That function looks for pandas
before it looks at a list, and where pandas is installed it stays: fifty megabytes of a process that has no use for it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = {"int64": "<i8", "double": "<f8"}
_MOST_BYTES = 2**31 - 1
"""What 32-bit offsets reach."""


def column(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array[Any] | pa.ChunkedArray[Any]":
    """Values of int64, float64, string or binary, None where there is none; in chunks above 2 GiB of bytes."""
    import numpy as np
    import pyarrow as pa

    is_there = np.array([value is not None for value in values], dtype=bool)
    bits = None if is_there.all() else pa.py_buffer(np.packbits(is_there, bitorder="little"))
    if number := _NUMBERS.get(str(kind)):
        numbers = np.array([0 if value is None else value for value in values], dtype=number)
        return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(numbers)])
    pieces = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    if ends[-1] > _MOST_BYTES:
        return pa.array(values, type=kind)
    offsets = pa.py_buffer(ends.astype("<i4"))
    return pa.Array.from_buffers(kind, len(values), [bits, offsets, pa.py_buffer(b"".join(pieces))])
