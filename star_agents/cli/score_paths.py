"""Where `score` reads and writes, seen to before anything is started."""

from pathlib import Path

from star_agents.core.errors import ConfigError
from star_agents.storage.score_files import sink_for
from star_agents.storage.seeds import row_file
from star_agents.storage.subset import check_subset_path, natural_suffix

_SUFFIXES = frozenset({".gz", ".zst", ".json", ".jsonl", ".ndjson", ".parquet"})


def default_out(data: str) -> Path:
    """`NAME.scores.jsonl` in the working directory."""
    return Path(f"{_stem(data.rpartition(':')[2])}.scores.jsonl")


def default_selected(data: str, out: Path) -> Path:
    """Beside the scores, a file of the same kind as the data.

    Raises:
        SeedError: the data set is of no kind that we read.
    """
    return out.with_name(f"{_stem(out.name)}.selected{natural_suffix(row_file(data))}")


def check_paths(data: str, out: Path, selected_out: Path | None) -> None:
    """Refuse what could not be written in the end.

    Raises:
        ConfigError: a folder is missing, a name has a suffix that we do not write, or a file is in the way.
        SeedError: the data set is of no kind that we read.
    """
    sink_for(out)
    _check_folder("--out", out)
    if selected_out is None:
        return
    check_subset_path(selected_out, row_file(data))
    _check_folder("--selected-out", selected_out)
    if selected_out == out:
        raise ConfigError(f"--selected-out {selected_out}: is where the scores go; name another file")
    if selected_out.exists() and not out.exists():  # it cannot be of scores that are not there
        raise ConfigError(f"--selected-out {selected_out}: is there already; move it away, or name another file")


def _check_folder(option: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.parent}; make it, or name another")
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name a file in it")


def _stem(name: str) -> str:
    """The last part of a name, without the suffixes that tell the kind of a file."""
    path = Path(name)
    while path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    return path.name
