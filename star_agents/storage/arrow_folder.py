"""A folder that `datasets.load_from_disk` opens as it is: splits of Arrow files, each put in place whole.

Rows go to an Arrow stream aside first, a thousand at a time; `datasets` then maps that file and copies it, so memory
stays flat however many rows there are. Law: a folder that was not written by `save_to_disk` is never replaced.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from star_agents.core.errors import ConfigError, StoreError
from star_agents.storage.publish import published, sync_folder
from star_agents.storage.sinks import ArrowSink
from star_agents.storage.splits import Split

DICT_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"


@contextmanager
def arrow_folder(folder: Path, splits: tuple[Split, ...]) -> Iterator[dict[Split, ArrowSink]]:
    """A sink for each split; where the block ends well, the folder holds what they took, an empty test split left out.

    Raises:
        ConfigError: `datasets` is not installed.
        StoreError: a split's folder holds something else.
        OSError: it cannot be written.
    """
    datasets = _datasets()
    for split in ("train", "test"):
        _check_ours(folder / split)
    with TemporaryDirectory(prefix=f".tmp-{os.getpid()}-", dir=folder) as aside:
        files = {split: Path(aside) / f"{split}.arrow" for split in splits}
        with ExitStack() as stack:
            opened = {split: stack.enter_context(file.open("wb")) for split, file in files.items()}
            sinks = {split: stack.enter_context(ArrowSink(stream)) for split, stream in opened.items()}
            yield sinks
        tables = {split: datasets.Dataset.from_file(str(file)) for split, file in files.items()}
        tables = {split: table for split, table in tables.items() if len(table) or split == "train"}
        saved = Path(aside) / "saved"
        shards = None if all(map(len, tables.values())) else dict.fromkeys(tables, 1)  # of none it writes no file
        datasets.DatasetDict(tables).save_to_disk(str(saved), num_shards=shards)
        _put_in_place(saved, folder)


def _put_in_place(saved: Path, folder: Path) -> None:
    """Each split by two renames; an earlier one goes with the folder aside."""
    for split in ("train", "test"):
        if (folder / split).exists():
            (folder / split).rename(saved.parent / f"old-{split}")
        if (saved / split).exists():
            (saved / split).rename(folder / split)
    sync_folder(folder)
    with (saved / DICT_FILE).open("rb") as source, published(folder / DICT_FILE) as target:
        shutil.copyfileobj(source, target)


def _check_ours(folder: Path) -> None:
    if folder.exists() and not (folder / _STATE_FILE).exists():
        raise StoreError(f"{folder}: holds something else than a saved data set: name another folder with --out")


def _datasets() -> Any:  # noqa: ANN401  # an untyped library
    try:
        import datasets
    except ImportError as error:
        raise ConfigError("--format datasets: needs the hub extra: pip install 'star-agents[hub]'") from error
    datasets.disable_progress_bars()  # the command has its own
    return datasets
