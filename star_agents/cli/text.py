"""Texts and numbers on a terminal: one line, and nothing in it but text.

Law: whatever comes in, what goes out has no control character and no markup that means anything, and takes no more
columns than it may.
"""

import math

from rich.cells import set_cell_size
from rich.text import Text

_LONGEST_S = 100 * 3600 * 24
"""Above a hundred days no time is told."""


def flat(text: str) -> str:
    """One line: control characters, line breaks and what turns the direction of writing become spaces."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def plain(text: str, limit: int) -> Text:
    """One line of at most `limit` characters; markup means nothing, and control characters are made harmless."""
    line = flat(text[: 4 * max(1, limit)])
    return one_line(Text(line if len(line) <= limit else line[: max(0, limit - 1)] + "…"))


def one_line(text: Text) -> Text:
    """The same, cut off where the terminal ends instead of going on below."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def cells(text: str, width: int) -> str:
    """At most `width` columns of it, however wide its characters are."""
    line = plain(text, 4 * max(1, width))
    return line.plain if line.cell_len <= width else set_cell_size(line.plain, max(0, width - 1)) + "…"


def duration(seconds: float | None) -> str:
    """`1:02:03`, or a dash for what is not known or so far off that nobody knows it."""
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds < _LONGEST_S:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def rate(per_s: float) -> str:
    """A rate in three digits or so."""
    if not math.isfinite(per_s):
        return "-"
    return f"{per_s:.2f}" if abs(per_s) < 10 else f"{per_s:.0f}" if abs(per_s) < 10**6 else f"{per_s:.1e}"  # noqa: PLR2004  # digits


def number(value: float | None) -> str:
    """Three places, or a dash for what is not known."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """Of a latency: as many places as tell something."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004  # digits
