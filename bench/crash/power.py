"""Power cuts: what a disk could hold at many moments of a small run, each looked at as a start would find it.

The run goes on after a cut, so one run gives as many as are wanted; that a start goes on from an image is tried with
a share of them.
"""

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from bench.crash.disk import Disk
from bench.crash.invariants import Acknowledged, look
from bench.crash.kills import NUM_SEEDS, PATIENCE_S, forkserver
from bench.crash.planted import PLANTED
from bench.crash.small_run import Ledger, start
from star_agents.storage import database
from star_agents.storage.database import reader

CHECKPOINT_PAGES = 60
"""The WAL is emptied so often that cuts fall into checkpoints too."""

RESUMED = 20
"""One image in so many is gone on with to the end."""


@dataclass(slots=True)
class Cut:
    """What came of many cuts."""

    cuts: int = 0
    runs: int = 0
    resumed: int = 0
    acknowledged: int = 0
    """What the store had said to be durable, summed over the cuts."""
    broken_off: int = 0
    """Runs that a planted bug ended by itself; what a cut finds is told by images alone."""
    problems: list[str] = field(default_factory=list)


def cuts(folder: Path, num_cuts: int, *, seed: int, share: float = 0.05, planted: str = "") -> Cut:
    """Cut the power so many times, at random in as many runs as it takes; stops at the first problem."""
    told, context = Cut(), forkserver()
    while told.cuts < num_cuts and told.runs < num_cuts and not told.problems:
        told.runs += 1
        path = folder / f"cut{told.runs}"
        process = context.Process(target=_child, args=(str(path), seed + told.runs, share, planted))
        process.start()
        process.join(PATIENCE_S)
        for image in sorted(path.glob("image*"))[: num_cuts - told.cuts]:
            if not told.problems:
                _check(image, Ledger(path / "run.ledger"), told)
        if process.exitcode != 0 and planted:
            told.broken_off += 1
        elif process.exitcode != 0:
            told.problems.append(f"{path.name}: the run ended with {process.exitcode}")
        shutil.rmtree(path, ignore_errors=True)
    return told


def _child(path: str, seed: int, share: float, planted: str) -> None:
    """A run on a disk that is followed; images are written beside it, named by how much was acknowledged."""
    if planted:
        PLANTED[planted]()
    pragmas = vars(database)["_WRITER_PRAGMAS"]
    vars(database)["_WRITER_PRAGMAS"] = [*pragmas, f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"]
    chance, folder = random.Random(seed), Path(path)
    folder.mkdir(parents=True)
    ledger = Ledger(folder / "run.ledger")

    def cut(disk: Disk) -> None:
        if chance.random() < share:
            disk.image(folder / f"image-{len(ledger.lines()):06}-{chance.getrandbits(40):010x}")

    Disk(folder / "run", chance, cut).follow()
    start(str(folder / "run"), NUM_SEEDS, "")


def _check(image: Path, ledger: Ledger, told: Cut) -> None:
    told.cuts += 1
    acknowledged = Acknowledged()
    acknowledged.add(ledger.lines()[: int(image.name.split("-")[1])])
    known = len(acknowledged.plans) + len(acknowledged.replies) + len(acknowledged.learnt)
    told.acknowledged += known
    run = image / "run.db"
    if not run.exists() or not run.stat().st_size:
        told.problems += [f"{image}: no run is left, and {known} acknowledgements were"] if known else []
        return
    found = look(run, acknowledged, ())
    told.problems += [f"{image.parent.name}/{image.name}: {problem}" for problem in found.problems]
    if run.stat().st_size:
        with reader(run) as connection:
            if (state := connection.pragma("quick_check")) != "ok":
                told.problems.append(f"{image.name}: corrupt: {state}")
    if told.cuts % RESUMED == 0 and not told.problems:
        told.resumed += 1
        _go_on(image, acknowledged, told)


def _go_on(image: Path, acknowledged: Acknowledged, told: Cut) -> None:
    process = forkserver().Process(target=start, args=(str(image), NUM_SEEDS, ""))
    process.start()
    process.join(PATIENCE_S)
    found = look(image / "run.db", acknowledged, ())
    told.problems += [f"{image.name}, gone on with: {problem}" for problem in found.problems]
    if process.exitcode != 0 or found.finished != NUM_SEEDS:
        told.problems.append(f"{image.name}: gone on with, it ended with {process.exitcode}, {found.finished} seeds")
