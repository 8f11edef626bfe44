"""What scores depend on besides the samples: models, numbers, convention, versions. Recorded with every run.

Two scorers with equal fingerprints give equal scores within rounding (docs/scoring.md says how much); which device and
how many workers is no part of it, the sort of device is. `describe` runs in a worker, where the models are.
"""

import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from star_agents.core import clock
from star_agents.core.errors import ScorerError
from star_agents.scoring.settings import ScoringSettings

_LIBRARIES = ("star-agents", "torch", "transformers", "tokenizers")
_EDGE_BYTES = 2**20
_WORDS = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def describe(settings: ScoringSettings, device: str) -> dict[str, str]:
    """The fingerprint of a loaded scorer on a device. Reads a little of each model's files; the hub's are cached."""
    from transformers.utils.hub import cached_file

    from star_agents.scoring.products import choose_precision

    def digest(name: str) -> str:
        return digest_of(Path(cached_file(name, "config.json")).parent)

    numbers = choose_precision(settings.dtype, device)
    parts = [str(part).removeprefix("torch.") for part in (numbers.body, numbers.products, numbers.head)]
    found = {
        "small": digest(settings.small),
        "device": device.partition(":")[0],
        "dtype": parts[0] if len(set(parts)) == 1 else "/".join(parts),
        "ifd": settings.ifd,
        "template": _template(settings.template),
        "max_tokens": str(settings.max_tokens),
        **{library: version(library) for library in _LIBRARIES},
    }
    return found if settings.large is None else found | {"large": digest(settings.large)}


def _template(name: str) -> str:
    """The name of a template, or the digest of one that is a file."""
    file = Path(name)
    return blake2b(file.read_bytes(), digest_size=16).hexdigest() if file.is_file() else name


def digest_of(folder: Path) -> str:
    """A digest of a model's folder: all of its words (config, tokenizer), and the size and both ends of its weights.

    Weights are gigabytes, and a model that was trained further differs everywhere, so their ends are enough.
    """
    seen = blake2b(digest_size=16)
    for file in _files(folder, _WORDS):
        seen.update(b"%s\0%s\0" % (file.name.encode(), blake2b(file.read_bytes()).digest()))
    for file in _files(folder, _WEIGHTS):
        with file.open("rb") as weights:
            size = weights.seek(0, os.SEEK_END)
            weights.seek(0)
            head = weights.read(_EDGE_BYTES)
            weights.seek(max(0, size - _EDGE_BYTES))
            seen.update(b"%s\0%d\0" % (file.name.encode(), size) + head + weights.read())
    return seen.hexdigest()


def _files(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    return (file for pattern in patterns for file in sorted(folder.glob(pattern)))


def note_scorer(file: Path, fingerprint: Mapping[str, str]) -> list[str]:
    """Note in a run's folder by which scorer its scores are made from now on, if that is not the last one noted.

    Returns one line for each thing that has changed since. Blocks.

    Raises:
        ScorerError: the note cannot be written.
    """
    try:
        before = _last(file)
        if before == dict(fingerprint):
            return []
        with file.open("ab") as notes:
            notes.write(orjson.dumps({"at": clock.wall(), **fingerprint}, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise ScorerError(f"cannot note the scorer in {file}: {error}") from error
    if before is None:
        return []
    names = sorted({*before, *fingerprint})
    changed = [name for name in names if before.get(name) != fingerprint.get(name)]
    return [f"{name}: was {before.get(name, 'none')}, is {fingerprint.get(name, 'none')}" for name in changed]


def _last(file: Path) -> dict[str, str] | None:
    """The newest note that is whole."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    for line in reversed(lines):
        try:
            noted: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a crash cut it off
        return {name: value for name, value in noted.items() if name != "at"}
    return None
