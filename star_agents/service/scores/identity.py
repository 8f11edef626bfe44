"""What a file of scores is of: everything that its numbers depend on, by name.

Law: two starts write into one file only if all of it is equal. Where a file lies, and how many devices of a kind work
on it, are no part of it. A value that is None is not known yet, and differs from nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from star_agents.core.errors import ConfigError
from star_agents.scoring.fingerprint import digest_of
from star_agents.scoring.settings import ScoringSettings
from star_agents.storage.score_journal import Header

_SCORER = "scorer."
"""What keys begin with that a scoring process has told of itself."""

_KNOWN_BEFORE = frozenset({"ifd", "template", "max_tokens"})
"""What it was told itself."""

_CALLED = {
    "small": "--small",
    "large": "--large",
    "ifd": "--ifd",
    "template": "--template",
    "max_tokens": "--max-tokens",
    "dtype": "--dtype",
    "texts": "--texts",
    "scorer.device": "a device of the kind",
    "scorer.dtype": "numbers in",
}
"""What a person calls a key; the others are called as they are."""

_CHANGED = {
    "rows": "DATA is not what it was",
    "data_sha256": "DATA is not what it was",
    "small_files": "the files of --small are not what they were",
    "large_files": "the files of --large are not what they were",
    "scorer.small": "the files of --small are not what they were",
    "scorer.large": "the files of --large are not what they were",
    "template_sha256": "the file of --template is not what it was",
}
"""What is said of a key whose values say nothing to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSpec:
    """What is scored, and how. `settings` name models by where they are, `small` and `large` as the user did."""

    settings: ScoringSettings
    small: str
    large: str | None
    texts: bool
    block_rows: int


def identity(spec: ScoreSpec, *, data_sha256: str, num_rows: int) -> dict[str, Any]:
    """What is known before a model is loaded. Blocks.

    Raises:
        ConfigError: a model's folder or the template's file cannot be read.
    """
    settings = spec.settings
    try:
        return {
            "data_sha256": data_sha256,
            "rows": num_rows,
            "small": spec.small,
            "small_files": _files(settings.small),
            "large": spec.large or "",
            "large_files": _files(settings.large) if settings.large else "",
            "ifd": settings.ifd,
            **(_template(settings) if settings.ifd == "exact" else {}),  # the other conventions have their own
            "dtype": settings.dtype,
            "texts": spec.texts,
            "block_rows": spec.block_rows,
        }
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error


def with_scorer(header: Header, fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """The same with what the scoring processes, now that they run, tell of themselves."""
    news = {f"{_SCORER}{name}": value for name, value in fingerprint.items() if name not in _KNOWN_BEFORE}
    return {**header, **news}


def check_same(begun: Header, now: Header, out: Path) -> None:
    """Refuse to go on with scores of something else.

    Raises:
        ConfigError: one line for each thing that differs, with the mend.
    """
    same_files = {model for model in ("small", "large") if _known_same(begun, now, f"{model}_files")}
    changes = [
        _change(key, begun[key], now[key])
        for key in now
        if key not in same_files and begun.get(key) is not None and now[key] is not None and begun[key] != now[key]
    ]
    if changes:
        mend = "restore that, name another --out, or begin anew with --fresh"
        raise ConfigError(*(f"--out {out}: {change}; {mend}" for change in dict.fromkeys(changes)))


def _known_same(begun: Header, now: Header, key: str) -> bool:
    """A model is known by its files; only where those are not known, by its name."""
    return now[key] is not None and begun.get(key) == now[key]


def _change(key: str, was: object, now: object) -> str:
    if key in _CHANGED:
        return f"{_CHANGED[key]} when this file was begun"
    what = _CALLED.get(key, key.removeprefix(_SCORER))
    return f"was begun with {what} {_show(was)}, and now it is {_show(now)}"


def _show(value: object) -> str:
    return "not given" if value in {"", False} else "given" if value is True else str(value)


def _files(model: str) -> str | None:
    """A digest of a model's folder; of a hub model only the scoring process knows which files it gets."""
    return digest_of(Path(model)) if Path(model).is_dir() else None


def _template(settings: ScoringSettings) -> dict[str, Any]:
    file = Path(settings.template)
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    name = file.name if digest else settings.template
    return {"template": name, "template_sha256": digest, "max_tokens": settings.max_tokens}
