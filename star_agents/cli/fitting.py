"""What is shown where there is not room for everything.

Law: a screen is never higher than its terminal. Sections get their least number of rows in the order of their
priority, and are left out where that does not fit; what room is left then makes them longer, in the same order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the screen of `least` to `most` rows; `draw` makes it of a number of rows between them.

    The lowest `priority` is the last to go.
    """

    priority: int
    least: int = 1
    most: int = 1
    draw: Callable[[int], RenderableType]


def rows_of(sections: Sequence[Section], height: int) -> list[int]:
    """Rows of each section, 0 where it is left out; at most `height` in all."""
    rows = [0] * len(sections)
    order = sorted(range(len(sections)), key=lambda index: sections[index].priority)
    left = max(0, height)
    for index in order:
        if sections[index].least <= left:
            rows[index] = sections[index].least
            left -= rows[index]
    for index in order:
        if rows[index]:
            more = min(left, max(0, sections[index].most - rows[index]))
            rows[index] += more
            left -= more
    return rows


def fitted(sections: Sequence[Section], height: int) -> Group:
    """The sections one below the other, in `height` rows at most."""
    sized = zip(sections, rows_of(sections, height), strict=True)
    return Group(*(section.draw(rows) for section, rows in sized if rows))
