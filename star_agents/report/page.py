"""The files of a report: one HTML page that needs nothing else, and a summary in Markdown.

Law: what comes from models, seeds or configs is text wherever it stands. Jinja escapes every value of the page, and the
summary escapes what Markdown would read; the page has no script, asks nobody for anything, and its policy forbids both.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from star_agents.core.errors import StoreError
from star_agents.core.version import __version__
from star_agents.report import wording
from star_agents.report.bias import LengthBias, length_bias
from star_agents.report.clusters import Cluster, clusters_of
from star_agents.report.drawing import short
from star_agents.report.examples import Shown, examples
from star_agents.report.facts import Facts
from star_agents.report.figures import Figures, figures
from star_agents.report.settings_shown import settings_shown
from star_agents.storage.publish import published, sweep

MAX_COLUMNS = 8
"""Pairs with a column of their own in the table of clusters."""

MAX_LINES = 20
"""Lines of a table of faults."""

_MARKS = re.compile(r"([\\`*_\[\]!|~])")
"""What Markdown reads inside a line; no value of ours begins one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the templates are given."""

    facts: Facts
    figures: Figures
    clusters: tuple[Cluster, ...]
    examples: tuple[Shown, ...]
    lengths: LengthBias

    @property
    def columns(self) -> list[str]:
        """Pairs of the table of clusters, those with most wins first."""
        wins = sum((Counter(cluster.wins) for cluster in self.clusters), Counter[str]())
        return [pair for pair, _ in sorted(wins.items(), key=lambda item: (-item[1], item[0]))[:MAX_COLUMNS]]

    @property
    def settings(self) -> str:
        """The config to run it again with."""
        return settings_shown(self.facts.config)


def contents(facts: Facts) -> Contents:
    """Look for patterns and draw, with the libraries of `check_libraries`. Blocks, for seconds."""
    lengths = length_bias([one for row in facts.rows for one in row.judged])
    return Contents(
        facts=facts,
        figures=figures(facts, lengths),
        clusters=clusters_of(facts.rows),
        examples=examples(facts.rows),
        lengths=lengths,
    )


def write_report(told: Contents, file: Path) -> Path:
    """Write the page into `file` and the summary beside it, each whole or not at all; return the summary's path.

    Raises:
        StoreError: they cannot be written.
    """
    summary = file.with_suffix(".md")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep(file.parent)
        for path, text in ((file, html_page(told)), (summary, markdown(told))):
            with published(path) as stream:
                stream.write(text.encode(errors="replace"))
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error.strerror or error}") from error
    return summary


def html_page(told: Contents) -> str:
    """The page."""
    environment = _environment(autoescape=True, finalize=_printable)
    return environment.get_template("report.html").render(_words(told))


def markdown(told: Contents) -> str:
    """The summary."""
    return _environment(autoescape=False, finalize=_plain).get_template("report.md").render(_words(told))


def _environment(**settings: Any) -> Environment:  # noqa: ANN401  # Jinja's own settings
    environment = Environment(  # noqa: S701  # the summary is no HTML, and escapes in its own way
        loader=PackageLoader("star_agents.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )
    environment.filters |= {name: getattr(wording, name) for name in ("count", "percent", "decimal", "dollars")}
    environment.filters["short"] = short
    return environment


def _words(told: Contents) -> Mapping[str, Any]:
    facts = told.facts
    return {
        "told": told,
        "facts": facts,
        "standing": wording.standing(facts),
        "sampling": wording.sampling(facts),
        "version": __version__,
        "max_lines": MAX_LINES,
    }


def _printable(value: object) -> object:
    """A text without the control characters that HTML does not allow."""
    if not isinstance(value, str) or hasattr(value, "__html__"):  # that is markup of our own
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char if char in "\n\t" or unicodedata.category(char) != "Cc" else "\ufffd" for char in value)


def _plain(value: object) -> object:
    """A text as Markdown shows it: in one line, and nothing in it means anything."""
    if not isinstance(value, str):
        return value
    flat = " ".join(str(_printable(value)).split())
    return _MARKS.sub(r"\\\1", html.escape(flat, quote=False))
