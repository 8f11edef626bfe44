"""Plain plots that a page can hold: small, the same from run to run, readable in black and white."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "star-agents",  # else every file has names of its own
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 9,
    "lines.linewidth": 1.4,
}

WIDTH, HEIGHT = 4.6, 3.4
"""Inches of one panel."""


def figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels side by side."""
    picture = Figure(figsize=(columns * WIDTH, HEIGHT), layout="constrained")
    return picture, [picture.add_subplot(1, columns, column + 1) for column in range(columns)]


def save(picture: Figure, file: Path) -> None:
    """Write it, without a date."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(file, metadata={"Date": None})
