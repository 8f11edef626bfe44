"""From a matplotlib figure to an SVG that lives inside a page: its colours follow the page, dark or light.

Law: a picture holds no name of anything outside of it, and a name from the data is text in it and nothing else: never a
formula, never markup. The same figure gives the same bytes.

Ink and rules are drawn in two colours that stand for the page's own, and are exchanged for them at the end.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, RULE = "#010203", "#040506"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind people can tell apart, without black and yellow: for dark pages and light."""

STYLES = ("-", "--", ":")

PANEL = 4.5, 3.1
"""Inches of one panel."""

MAX_NAME_CHARS = 40

_LOOK: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
}

_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"')
_NAMES = re.compile(r' id="[A-Za-z][A-Za-z0-9.]*_\d{1,4}"')
"""Of groups that nothing refers to; what is referred to is named by a digest."""

_ABOUT = re.compile(r' xmlns(?::\w+)?="[^"]*"| version="[^"]*"')
_FONT = re.compile(r"(font: [^'\";]*?)'[^;\"]*?(?=[;\"])")


@contextmanager
def drawn(number: int) -> Iterator[None]:
    """The look of every figure; `number` keeps the inner names of one picture apart from the others' in the page."""
    import matplotlib as mpl

    with mpl.rc_context({**_LOOK, "svg.hashsalt": f"star-agents-{number}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # the browser has it
        yield


def panels(columns: int, *, width: float = PANEL[0], height: float = PANEL[1]) -> "tuple[Figure, list[Axes]]":
    """A figure with so many panels side by side."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(columns * width, height), layout="constrained")
    return picture, [picture.add_subplot(1, columns, column + 1) for column in range(columns)]


def svg(picture: "Figure", label: str) -> str:
    """The picture as an element of a page; `label` is what it shows, for those who cannot see it."""
    buffer = io.StringIO()
    picture.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = _SIZE.sub(r"\1", _ABOUT.sub("", _NAMES.sub("", text)), count=1)
    text = _FONT.sub(r"\1sans-serif", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    return text.replace(INK, "var(--ink)").replace(RULE, "var(--rule)").strip()


def short(name: str) -> str:
    """A name in one line without control characters, cut where it is long."""
    flat = " ".join("".join(" " if unicodedata.category(char)[0] == "C" else char for char in name).split())
    return flat if len(flat) <= MAX_NAME_CHARS else flat[: MAX_NAME_CHARS - 1] + "…"
