"""The data-set card: what is in an exported folder, in words for people and in YAML for `datasets`.

The YAML names the columns and their types, so that `datasets.load_dataset(FOLDER)` never has to guess.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from star_agents.storage.formats import ExportFormat
from star_agents.storage.lineage import METADATA
from star_agents.storage.manifest import Manifest

_DTYPES: dict[type, str] = {int: "int64", float: "float64", str: "string", bool: "bool"}
_COLUMNS: dict[ExportFormat, tuple[str, ...]] = {
    "messages": ("messages",),
    "parquet": ("messages",),
    "alpaca": ("instruction", "input", "output"),
    "sharegpt": ("id", "conversations"),
}
_TURNS = {"messages": ("role", "content"), "conversations": ("from", "value")}


@dataclass(slots=True)
class Contents:
    """Counts of what an export wrote."""

    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    losers: int = 0

    @property
    def rows(self) -> int:
        """Rows of the data file."""
        return self.sources.total()

    @property
    def dropped(self) -> int:
        """Seeds that left no row."""
        return self.reasons.total()


def card(manifest: Manifest, contents: Contents, *, row_format: ExportFormat, data_file: str) -> str:
    """The text of README.md. The same run gives the same text."""
    config = json.loads(manifest.config)
    name = config.get("run", {}).get("name", "star-agents run")
    seeds = config.get("seeds", {}).get("path", "not recorded")
    return "\n".join(
        (
            *_front_matter(row_format, data_file),
            f"# {name}",
            "",
            "An instruction-tuning data set made by star-agents, which implements Star-Agents",
            "([arXiv 2411.14497](https://arxiv.org/abs/2411.14497)).",
            "Every row tells where it came from under `metadata`.",
            "",
            *_table("file", "rows", {data_file: contents.rows, "dropped.jsonl": contents.dropped} | _losers(contents)),
            *_table("row taken from", "rows", contents.sources),
            *_table("agent-pair", "rows", contents.pairs),
            *_table("model that wrote the response", "rows", contents.models),
            *_table("seed dropped because", "seeds", contents.reasons),
            "## Licence",
            "",
            "Fill in before you publish: the licence of the seeds, and the terms of every model above for its output.",
            "",
            f"- seeds: `{seeds}` (SHA-256 `{manifest.input_sha256}`), licence: to be filled in",
            *(f"- `{model}`, terms: to be filled in" for model in sorted(contents.models)),
            "",
            f"Run begun {manifest.created}, settings `{manifest.fingerprint}`.",
            "",
        )
    )


def _front_matter(row_format: ExportFormat, data_file: str) -> list[str]:
    lines = ["---", "tags: [star-agents, synthetic, instruction-tuning]"]
    lines += ["configs:", "- config_name: default", f"  data_files: {data_file}", "dataset_info:", "  features:"]
    for column in _COLUMNS[row_format]:
        lines += _turns(column) if column in _TURNS else _plain(column, "string", "  ")
    lines += ["  - name: metadata", "    struct:"]
    for key, kind in METADATA.items():
        lines += _plain(key, _DTYPES[kind], "    ")
    return [*lines, "---", ""]


def _turns(column: str) -> list[str]:
    lines = [f"  - name: {column}", "    list:"]
    for key in _TURNS[column]:
        lines += _plain(key, "string", "    ")
    return lines


def _plain(name: str, dtype: str, indent: str) -> list[str]:
    return [f"{indent}- name: {name}", f"{indent}  dtype: {dtype}"]


def _losers(contents: Contents) -> dict[str, int]:
    return {"candidates.jsonl": contents.losers} if contents.losers else {}


def _table(head: str, unit: str, counts: Any) -> list[str]:  # noqa: ANN401  # any mapping of counts
    """A Markdown table, largest first; nothing where there is nothing to count."""
    if not counts:
        return []
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [f"| `{_cell(name)}` | {count} |" for name, count in ordered]
    return [f"| {head} | {unit} |", "|---|---|", *rows, ""]


def _cell(text: str) -> str:
    """A name that cannot break out of its table cell."""
    return text.replace("`", "'").replace("|", "/").replace("\n", " ")
