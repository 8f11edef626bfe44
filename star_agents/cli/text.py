"""Texts of models and servers on a terminal: one line, and nothing in it but text."""

import unicodedata

from rich.text import Text


def plain(text: str, limit: int) -> Text:
    """One line of at most `limit` characters; markup means nothing, and control characters are made harmless."""
    flat = " ".join("".join(" " if unicodedata.category(char)[0] == "C" else char for char in text).split())
    return Text(flat if len(flat) <= limit else flat[: limit - 1] + "…")
