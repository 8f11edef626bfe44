"""One row of scores, as JSON and as columns of Parquet: the same fields in every row (docs/score.md).

Law: a number is finite or null, and a text is never null, so that readers which guess a column's type from the
first rows guess right.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from star_agents.core.records import ModelScore, Scores, Seed
from star_agents.storage.row_blocks import UnusableRow

UNUSABLE = "unusable"
"""The status of a row that holds no instruction; the others are those of `ScoreStatus`."""

MODELS = ("small", "large")
"""The keys that the scores of the models are under."""

_NUMBERS = ("ppl_alone", "ppl_cond", "ifd")
_COUNTS = ("n_prompt_tokens", "n_response_tokens")
_TEXTS = ("instruction", "input", "output")


@dataclass(frozen=True, slots=True)
class RowShape:
    """Which fields a row has: those of the large model, and the texts that were scored."""

    has_large: bool
    has_texts: bool = False

    def line(self, row: Seed | UnusableRow, scores: Scores | None) -> bytes:
        """A row as one line of JSON. `scores` is None where the row cannot be used."""
        fields: dict[str, Any] = {"number": row.number}
        fields["id"] = (row.source_id or "") if isinstance(row, Seed) else ""
        if self.has_texts:
            fields |= _texts(row)
        fields["small"] = _view(row, scores.small if scores else None)
        if self.has_large:
            fields["large"] = _view(row, scores.large if scores else None)
            fields["gap"] = gap(scores)
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    def schema(self) -> Any:  # noqa: ANN401  # pyarrow is untyped
        """The columns, for a Parquet file."""
        import pyarrow as pa

        model = pa.struct(
            [("status", pa.string())]
            + [(name, pa.float64()) for name in _NUMBERS]
            + [(name, pa.int64()) for name in _COUNTS]
            + [("reason", pa.string())]
        )
        columns = [("number", pa.int64()), ("id", pa.string())]
        if self.has_texts:
            columns += [(name, pa.string()) for name in _TEXTS]
        columns.append(("small", model))
        if self.has_large:
            columns += [("large", model), ("gap", pa.float64())]
        return pa.schema(columns)


def gap(scores: Scores | None) -> float | None:
    """IFD_small - IFD_large (Eq. 5); None where either is not known."""
    if scores is None or scores.large is None or scores.small.ifd is None or scores.large.ifd is None:
        return None
    return scores.small.ifd - scores.large.ifd


def is_scored(scores: Scores) -> bool:
    """True where every model that was asked gave an IFD."""
    return scores.small.ifd is not None and (scores.large is None or scores.large.ifd is not None)


def _texts(row: Seed | UnusableRow) -> dict[str, str]:
    texts = (row.instruction, row.context, row.response) if isinstance(row, Seed) else ("", "", "")
    return dict(zip(_TEXTS, texts, strict=True))


def _view(row: Seed | UnusableRow, score: ModelScore | None) -> dict[str, Any]:
    """What one model makes of a row; null where there is no number, and `status` and `reason` say why."""
    if score is None:
        reason = row.reason if isinstance(row, UnusableRow) else ""
        return {"status": UNUSABLE} | dict.fromkeys(_NUMBERS) | dict.fromkeys(_COUNTS, 0) | {"reason": reason}
    numbers = {name: getattr(score, name) for name in (*_NUMBERS, *_COUNTS)}
    return {"status": score.status} | numbers | {"reason": score.reason or ""}
