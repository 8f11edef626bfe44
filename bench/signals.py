"""Does a run end as it promises, whenever it is told to, and does nothing outlive it? (P13, P14).

    python -m bench.signals [--count 50] [--seed 1] [--save] [--quick]

One run is started, ended by a signal and gone on with, over and over, as real processes: a quarter of the signals come
while it starts, the others while it works. SIGTERM and SIGINT come once and twice in turn; one start in six is killed,
for what a dead parent leaves behind. In the end the run is drained and looked at.
"""

import json
import random
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness.report import RESULTS, Report, parser_of
from bench.life.runs import Load, Whole, lasting_run, whole
from bench.life.stops import Moment, Stopped, adopt_orphans, stop

TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL
ORDERS = ((TERM,), (INT,), (TERM, TERM), (INT, INT), (TERM,), (INT,))
KILL_EVERY = 5
"""After so many signals comes a kill."""

LOAD = Load(latency_ms=500)
DRAIN_S = 3.0
STOP_S, LEAVE_S, INTAKE_S = 30.0, 1.0, 0.1
CODES = {(TERM,): 0, (INT,): 0, (TERM, TERM): 143, (INT, INT): 130, (KILL,): -9}

Row = dict[str, Any]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.count = 4 if options.quick else options.count
    adopt_orphans()
    with TemporaryDirectory() as folder, lasting_run(Path(folder), LOAD, service={"drain_s": DRAIN_S}) as run:
        chance = random.Random(options.seed)
        stopped = []
        for moment in moments(chance, options.count):
            stopped.append(stop(run, moment))
            print(line(stopped[-1]), file=sys.stderr, flush=True)
        last = stop(run, Moment(numbers=(TERM,), is_running=True, after_s=1.0))
        kills = sum(one.code < 0 or one.code >= 128 for one in stopped)
        rows = list(rows_of(stopped, whole(run), most_again=kills * LOAD.concurrency))
        if last.code != 0:
            raise RuntimeError(f"the last start ended with {last.code}: {last.said}")
    rows = [{"seed": options.seed, **row} for row in rows]
    Report(
        name="signals",
        command=f"python -m bench.signals --count {options.count}",
        rows=merged(rows) if options.save else rows,
        notes=[f"Answers take {LOAD.latency_ms} ms; `service.drain_s` is {DRAIN_S:g}: what is open then is given up."],
    ).show(save=options.save)
    sys.exit(any(row["met"] == "no" for row in rows))


def merged(rows: list[Row]) -> list[Row]:
    """The saved lines of other seeds, and these."""
    file = RESULTS / "signals.json"
    saved: list[Row] = json.loads(file.read_text())["rows"] if file.exists() else []
    kept = [row for row in saved if row["seed"] != rows[0]["seed"]]
    return sorted([*kept, *rows], key=lambda row: row["seed"])


def moments(chance: random.Random, count: int) -> Iterator[Moment]:
    """So many signals, and the kills between them."""
    for number, order in enumerate(islice(cycle(ORDERS), count)):
        yield _moment(chance, order)
        if number % KILL_EVERY == KILL_EVERY - 1:
            yield _moment(chance, (KILL,))


def _moment(chance: random.Random, order: Sequence[signal.Signals]) -> Moment:
    is_running = chance.random() < 0.75
    after_s = chance.uniform(0.0, 3.0 if is_running else 5.0)
    return Moment(numbers=order, is_running=is_running, after_s=after_s, gap_s=chance.uniform(0.02, 1.0))


def line(one: Stopped) -> str:
    """Of one stop, while it goes on."""
    where = "running" if one.moment.is_running else "starting"
    return (
        f"{one.moment.name:16} {where} +{one.moment.after_s:.2f} s: code {one.code}, {one.took_s:.2f} s, "
        f"draining after {one.draining_s}, planned {one.planned_at_stop} {one.planned}, "
        f"all gone {one.gone_s:.2f} s later, orphans {one.orphans}"
    )


def rows_of(stopped: Sequence[Stopped], held: Whole, *, most_again: int) -> Iterator[Row]:
    """The table."""
    once = [one for one in stopped if len(one.moment.numbers) == 1 and KILL not in one.moment.numbers]
    twice = [one for one in stopped if len(one.moment.numbers) == 2]
    killed = [one for one in stopped if KILL in one.moment.numbers]
    early = sum(is_early(one) for one in (*once, *twice))
    odd = [one for one in stopped if (one.code not in codes(one) and not is_early(one)) or "Traceback" in one.said]
    told = f"{len(odd)} odd or with a traceback; {early} before there were handlers, ended by the signal itself"
    yield row("exit codes", len(stopped) - len(killed), told, not odd, "; ".join(map(line, odd)))
    drained = [one.draining_s for one in (*once, *twice) if one.draining_s is not None]
    late = sum(seconds > INTAKE_S for seconds in drained)
    more = sum((one.planned or 0) > (one.planned_at_stop or 0) for one in (*once, *twice))
    told = f"draining was seen after {ms(drained)}, {late} later than 100 ms; {more} took in a seed after that"
    yield row("intake stops", len(drained), told, not late and not more, "at most 100 ms")
    ends = [one.took_s for one in once]
    yield row("one signal", len(once), f"ended after {seconds_of(ends)}", max(ends) <= STOP_S, "at most 30 s")
    ends = [one.took_s for one in twice]
    yield row("a second signal", len(twice), f"ended after {seconds_of(ends)}", max(ends) <= LEAVE_S, "at most 1 s")
    for what, group in (("after a stop", (*once, *twice)), ("after SIGKILL", killed)):
        left, gone = sum(one.orphans for one in group), [one.gone_s for one in group]
        yield row(
            f"orphans {what}", len(group), f"{left} left; all gone after {seconds_of(gone)}", not left, "0 in 30 s"
        )
    is_whole = not held.lost and not held.doubled and held.is_sound and held.bought_twice <= most_again
    yield row("data", len(stopped), str(held), is_whole, f"0, 0; at most {most_again} bought twice")


def is_early(one: Stopped) -> bool:
    """The signal came before the program had said a word of its own, and did what a signal does to any program."""
    by_signal = {code for number in one.moment.numbers for code in (-number, 128 + number)}
    return not one.moment.is_running and one.code in by_signal and "star_agents" not in one.said


def codes(one: Stopped) -> set[int]:
    """Codes that are right: a run that ended before the second signal came has ended well.

    A second signal that comes after the run, while the process leaves, does what the system says: a shell reads the
    same 143 or 130 from both.
    """
    right = {CODES[tuple(one.moment.numbers)]}
    return right | {0, -one.moment.numbers[-1]} if len(one.moment.numbers) == 2 else right


def row(what: str, count: int, figure: str, is_met: bool, detail: str) -> Row:  # noqa: FBT001  # a cell of the line
    """One line."""
    return {"what": what, "count": count, "figure": figure, "met": "yes" if is_met else "no", "detail": detail}


def seconds_of(values: Iterable[float]) -> str:
    """Median and most."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.2f} s, at most {ordered[-1]:.2f} s" if ordered else "none"


def ms(values: Iterable[float]) -> str:
    """The same in milliseconds."""
    ordered = sorted(values)
    return f"{1e3 * ordered[len(ordered) // 2]:.0f} ms, at most {1e3 * ordered[-1]:.0f} ms" if ordered else "none"


if __name__ == "__main__":
    main()
