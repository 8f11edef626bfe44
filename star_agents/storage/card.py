"""The data-set card: what is in an exported folder, in words for people and in YAML for `datasets`.

The YAML names the columns and their types, so that `datasets.load_dataset(FOLDER)` never has to guess.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from star_agents.storage.formats import ExportFormat
from star_agents.storage.lineage import METADATA
from star_agents.storage.lost import Holds, Lost
from star_agents.storage.manifest import Manifest
from star_agents.storage.picks import (
    BELOW_MARGIN,
    BELOW_MIN_SCORE,
    CONTAMINATED,
    DUPLICATE,
    NO_LOSER,
    NO_SCORE,
)
from star_agents.storage.splits import Split

_DTYPES: dict[type, str] = {int: "int64", float: "float64", str: "string", bool: "bool"}
_COLUMNS: dict[ExportFormat, tuple[str, ...]] = {
    "messages": ("messages",),
    "parquet": ("messages",),
    "datasets": ("messages",),
    "alpaca": ("instruction", "input", "output"),
    "sharegpt": ("id", "conversations"),
    "dpo": ("prompt", "chosen", "rejected"),
}
_MESSAGES = ("role", "content")
_TURNS = dict.fromkeys(("messages", "prompt", "chosen", "rejected"), _MESSAGES) | {"conversations": ("from", "value")}

_FILTERED = {
    NO_SCORE: "its row has no pi, and --min-score asks for one",
    BELOW_MIN_SCORE: "its pi is below --min-score",
    NO_LOSER: "no other answer to the same instruction has a known score",
    BELOW_MARGIN: "the best and the worst answer are closer than --margin",
    DUPLICATE: "its question is like an earlier one (--dedup)",
    CONTAMINATED: "it holds words of a benchmark question (--decontaminate)",
}
"""What the reasons of an export mean."""

_LOST: dict[Holds, str] = {
    "rows": "their file is lost, and they with it",
    "replies": "the file of their calls is lost: who rewrote, and the endpoints, are empty",
}


@dataclass(slots=True)
class Contents:
    """Counts of what an export wrote."""

    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    losers: int = 0
    lost: list[Lost] = field(default_factory=list)
    """Files of the run that were passed over."""

    def count(self, split: Split, metadata: Mapping[str, object]) -> None:
        """Take note of a row."""
        self.splits[split] += 1
        self.sources[str(metadata["source"])] += 1
        if metadata["response_agent"]:
            self.pairs[f"{metadata['instruction_agent']}+{metadata['response_agent']}"] += 1
            self.models[str(metadata["response_model"])] += 1

    @property
    def rows(self) -> int:
        """Rows of the data files."""
        return self.sources.total()

    @property
    def missing(self) -> int:
        """Finished seeds that nobody can tell of: the file with their rows is lost."""
        return sum(lost.rows for lost in self.lost if lost.holds == "rows")

    @property
    def dropped(self) -> int:
        """Seeds that left no row."""
        return self.reasons.total()


def card(
    manifest: Manifest,
    contents: Contents,
    *,
    row_format: ExportFormat,
    data_files: Mapping[Split, str],
    licence: str = "",
) -> str:
    """The text of README.md; `data_files` are names or patterns by split. The same run gives the same text."""
    config = json.loads(manifest.config)
    name = config.get("run", {}).get("name", "star-agents run")
    files = {pattern: contents.splits[split] for split, pattern in data_files.items()}
    reasons = {_reason(reason): count for reason, count in contents.reasons.items()}
    return "\n".join(
        (
            *_front_matter(row_format, data_files, licence),
            f"# {_cell(str(name))}",
            "",
            "An instruction-tuning data set made by star-agents, which implements Star-Agents",
            "([arXiv 2411.14497](https://arxiv.org/abs/2411.14497)).",
            "Every row tells where it came from under `metadata`.",
            "",
            *_missing(contents),
            *_table("file", "rows", files | {"dropped.jsonl": contents.dropped} | _losers(contents)),
            *_table("row taken from", "rows", contents.sources),
            *_table("agent-pair", "rows", contents.pairs),
            *_table("model that wrote the response", "rows", contents.models),
            *_table("seed dropped because", "seeds", reasons),
            *_licence(config, manifest, contents, licence),
            f"Run begun {manifest.created}, settings `{manifest.fingerprint}`.",
            "",
        )
    )


def _missing(contents: Contents) -> list[str]:
    """What is not in it that should be; nothing where all is."""
    if not contents.lost:
        return []
    lines = [f"- rows {lost.seq_lo} to {lost.seq_hi} of the run: {_LOST[lost.holds]}" for lost in contents.lost]
    return [f"**Not complete:** {contents.missing} finished seeds are in no file here.", "", *lines, ""]


def _licence(config: Mapping[str, Any], manifest: Manifest, contents: Contents, licence: str) -> list[str]:
    seeds = _cell(str(config.get("seeds", {}).get("path", "not recorded")))
    told = f"This data set is offered under `{licence}`. " if licence else ""
    return [
        "## Licence",
        "",
        f"{told}Fill in before you publish: the licence of the seeds, and every model's terms for its output.",
        "",
        f"- seeds: `{seeds}` (SHA-256 `{manifest.input_sha256}`), licence: to be filled in",
        *(f"- `{_cell(model)}`, terms: to be filled in" for model in sorted(contents.models)),
        "",
    ]


def _reason(reason: str) -> str:
    return f"{reason}: {_FILTERED[reason]}" if reason in _FILTERED else reason


def _front_matter(row_format: ExportFormat, data_files: Mapping[Split, str], licence: str) -> list[str]:
    lines = ["---", "tags: [star-agents, synthetic, instruction-tuning]"]
    lines += [f"license: {licence}"] if licence else []
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split, pattern in data_files.items():
        lines += [f"  - split: {split}", f"    path: {pattern}"]
    lines += ["dataset_info:", "  features:"]
    for column in _COLUMNS[row_format]:
        lines += _turns(column) if column in _TURNS else _plain(column, "string", "  ")
    for struct in ("metadata", "rejected_metadata") if row_format == "dpo" else ("metadata",):
        lines += [f"  - name: {struct}", "    struct:"]
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
