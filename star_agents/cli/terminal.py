"""Whether somebody looks at a terminal, and how often to draw for them.

Law: a pipe, a file, a dumb terminal or a machine that tests never gets a control sequence. Over ssh the screen is
drawn once a second, for the line may be slow.
"""

from collections.abc import Mapping

from rich.console import Console

SCREEN_S = 0.5
"""Two pictures a second: quick enough to look alive, slow enough to cost nothing."""

SSH_S = 1.0


def is_watched(console: Console, environ: Mapping[str, str]) -> bool:
    """Whether there is a terminal that can be drawn on; colours forced on a pipe do not make it one."""
    return console.file.isatty() and not console.is_dumb_terminal and not environ.get("CI")


def every_s(environ: Mapping[str, str]) -> float:
    """How often to draw."""
    return SSH_S if environ.get("SSH_CONNECTION") else SCREEN_S
