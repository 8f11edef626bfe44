"""Does a service stay as small and as quick as it began, for as long as it runs? (P7).

    python -m bench.soak [--minutes 60] [--kill-every-s 300] [--folder DIR] [--save] [--quick]

Two real `star-agents serve-run` processes, each against a mock server of its own where one send in twenty fails in one
of a dozen ways. One is killed with SIGKILL and resumed again and again, the other is left alone: only a process that
lives on can show a leak. Both are looked at every five seconds, from outside; a line by least squares through what
came after the warm-up tells how fast a figure grows. In the end both are drained, and what they hold is counted.
"""

import json
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness.report import Report, parser_of
from bench.life.look import Look, lateness, look
from bench.life.runs import Load, lasting_run, mock_stats, whole
from bench.life.trend import Trend, trend
from tests.process.harness import PATIENCE_S, Run

EVERY_S = 5.0
LOAD = Load()
WARM_SHARE, WARM_S = 0.25, 900.0
"""The warm-up of a process that is left alone: a quarter of the time, at most so long."""
START_WARM_S = 120.0
"""The same for one that is killed again and again."""
MOST_MB = 1.0
"""An hour: the promise."""
FIGURES = ("rss_mb", "children_rss_mb", "fds", "tasks", "threads", "wal_mb")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A look, when it was taken, and at which start of the run; `age_s` is that start's."""

    at_s: float
    start: int
    age_s: float
    seen: Look


@dataclass(slots=True)
class Soaked:
    """One run under the soak; killed every `kill_every_s`."""

    name: str
    run: Run
    kill_every_s: float
    began_at: float
    started_at: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    missed: int = 0
    """Looks that got no answer: it was starting, mostly."""
    kills: int = 0
    process: Any = None

    def start(self) -> None:
        """Start it, or go on with it."""
        self.process, self.started_at = self.run.start(), time.monotonic()

    def go_on(self, file: Path) -> None:
        """Kill and resume it if it is time, and look at it; the look goes to a file too."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name}: it ended with {self.process.returncode}: {self.run.output()[-2000:]}")
        if time.monotonic() - self.started_at >= self.kill_every_s:
            self.process.kill()
            self.process.wait()
            self.kills += 1
            self.start()
        seen = look(self.process.pid, self.run.run_dir)
        if seen is None:
            self.missed += 1
            return
        now = time.monotonic()
        self.samples.append(Sample(now - self.began_at, self.run.starts, now - self.started_at, seen))
        with file.open("a") as lines:
            lines.write(json.dumps({"run": self.name, **asdict(self.samples[-1])}) + "\n")

    def warm(self, warm_s: float) -> list[Sample]:
        """What counts: without the warm-up, of the whole run and of each start."""
        first_s = warm_s if self.kills == 0 else min(warm_s, START_WARM_S)
        return [one for one in self.samples if (one.at_s if self.kills == 0 else one.age_s) >= first_s]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kill-every-s", type=float, default=300.0)
    parser.add_argument("--folder", type=Path, help="keep the runs and the samples here")
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.kill_every_s = 0.75, 20.0
    with TemporaryDirectory() as scratch:
        rows = soak(options.folder or Path(scratch), options)
    Report(
        name="soak",
        command=f"python -m bench.soak --minutes {options.minutes:g} --kill-every-s {options.kill_every_s:g}",
        rows=rows,
        notes=[
            "Slopes are by least squares after the warm-up, ± their standard error.",
            "In brackets the medians of the first and the last quarter. MB are 10^6 bytes.",
            "Killed again and again: a line through one point a start, the median of what came after its warm-up.",
        ],
    ).show(save=options.save)
    sys.exit(any(row.get("met") == "no" for row in rows))


def soak(folder: Path, options: Namespace) -> list[Row]:
    """Run both for so long, and tell of each."""
    with ExitStack() as stack:
        began_at, until = time.monotonic(), time.monotonic() + 60 * options.minutes
        named = (("left alone", 23, float("inf")), ("killed and resumed", 29, options.kill_every_s))
        soaked = [
            Soaked(name, stack.enter_context(lasting_run(folder / f"run{seed}", LOAD, seed=seed)), every_s, began_at)
            for name, seed, every_s in named
        ]
        for one in soaked:
            one.start()
        while time.monotonic() < until:
            next_at = time.monotonic() + EVERY_S
            for one in soaked:
                one.go_on(folder / "samples.jsonl")
            time.sleep(max(0.0, next_at - time.monotonic()))
        for one in soaked:
            one.process.terminate()
        return [row for one in soaked for row in told(one, options)]


def told(one: Soaked, options: Namespace) -> Iterator[Row]:
    """The lines of one run; it has been told to end."""
    code = one.process.wait(PATIENCE_S)
    warm = one.warm(min(WARM_S, WARM_SHARE * 60 * options.minutes))
    for figure in FIGURES:
        grown = slope(one, warm, figure)
        bound = {"target": f"below {MOST_MB:g} an hour"} if figure == "rss_mb" else {}
        met = {"met": "yes" if grown.per_hour < MOST_MB else "no"} if bound else {}
        yield {"run": one.name, "what": figure, "figure": str(grown), **bound, **met}
    first, last = warm[0].seen, warm[-1].seen
    counts = first.lag if one.kills == 0 else [0] * len(first.lag)
    late = lateness([now - before for now, before in zip(last.lag, counts, strict=True)])
    since = f"of {'all' if one.kills == 0 else 'the last start'}"
    yield {"run": one.name, "what": "loop lag", "figure": str(late), "target": "2 / 20 / 250 ms", "detail": since}
    yield {"run": one.name, "what": "most WAL", "figure": f"{max(each.seen.wal_mb for each in one.samples):.3g} MB"}
    for name in ("status_ms", "metrics_ms"):
        yield {
            "run": one.name,
            "what": f"API {name}",
            "figure": _quantiles([getattr(each.seen, name) for each in warm]),
        }
    busy = cores(one.samples)
    yield {"run": one.name, "what": "CPU", "figure": f"{busy:.2f} cores", "detail": "the service and its scorers"}
    yield {"run": one.name, **kept(one, code)}


def slope(one: Soaked, warm: list[Sample], figure: str) -> Trend:
    """Of a figure; of a run that is killed again and again, from start to start."""
    at_s, values = [each.at_s for each in warm], [float(getattr(each.seen, figure)) for each in warm]
    if one.kills:
        starts = sorted({each.start for each in warm})
        of_start = [[index for index, each in enumerate(warm) if each.start == start] for start in starts]
        at_s = [mean(at_s[index] for index in indices) for indices in of_start]
        values = [median(values[index] for index in indices) for indices in of_start]
    return trend(at_s, values)


def cores(samples: list[Sample]) -> float:
    """CPU seconds a second, of the start that was seen for longest."""
    longest = Counter(each.start for each in samples).most_common(1)[0][0]
    of_it = [each for each in samples if each.start == longest]
    return (of_it[-1].seen.cpu_s - of_it[0].seen.cpu_s) / max(1.0, of_it[-1].at_s - of_it[0].at_s)


def kept(one: Soaked, code: int) -> Row:
    """What the run holds when it is over, against what it was asked for and what its endpoint saw."""
    held, stats = whole(one.run), mock_stats(one.run)
    faults, most = sum(stats["faults"].values()), one.kills * LOAD.concurrency
    is_kept = code == 0 and held.is_sound and not held.lost and not held.doubled and held.bought_twice <= most
    return {
        "what": "data",
        "figure": f"{one.kills} kills, {held}",
        "target": f"0, 0, at most {LOAD.concurrency} a kill",
        "met": "yes" if is_kept else "no",
        "detail": f"exit code {code}; {stats['requests']} sends, {100 * faults / stats['requests']:.1f} % failed; "
        f"{len(one.samples)} looks, {one.missed} without an answer",
    }


def _quantiles(values: list[float]) -> str:
    cut = quantiles(values, n=100)
    return f"p50 {cut[49]:.1f} ms, p99 {cut[98]:.1f} ms, at most {max(values):.1f} ms"


if __name__ == "__main__":
    main()
