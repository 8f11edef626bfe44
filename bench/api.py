"""How quickly does a service answer while it works as fast as it can, and how late is its event loop then? (P12).

    python -m bench.api [--seconds 30] [--concurrency 64] [--save] [--quick]

A real `star-agents serve-run` process against a mock server that answers at once, with more calls out than the
machine can serve. From this process its status, its metrics, its newest rows and a page of them are asked for in turn,
one question every 50 ms, while a stream of events is open and read. Times are a client's: connecting, waiting for a
core and reading the answer are in them. Lag is the service's own histogram over the same seconds, and over as many
before in which nobody asks: upper ends of its buckets.
"""

import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from bench.harness.report import Report, parser_of
from bench.life.look import Lateness, Look, lateness, look
from bench.life.runs import Load, lasting_run, mock_stats
from star_agents.client.connection import address_of, answered
from star_agents.core.errors import ServiceGoneError
from tests.process.harness import PATIENCE_S, Run, wait_for

ASKED = {
    "status": "/api/v1/status",
    "metrics": "/metrics",
    "newest rows": "/api/v1/rows?after={newest}",
    "page of 50 rows": "/api/v1/rows/page?first={newest}",
}
"""By name; `newest` is 50 rows before the last."""

EVERY_S = 0.05
WARM_S = 10.0
"""After the first rows: models, pages and the sizing of the run settle."""
PAGE = 50
MOST_MS = 100.0
LAG_MS = Lateness(2.0, 20.0, 250.0)


@dataclass(slots=True)
class Polled:
    """What a client saw of one service. Times in milliseconds."""

    times: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ASKED})
    events: int = 0
    gap_ms: float = 0.0
    """The longest between two events; they come once a second."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    if options.quick:
        options.seconds = 5.0
    with TemporaryDirectory() as folder:
        rows, notes = measured(Path(folder), options)
    Report(
        name="api",
        command=f"python -m bench.api --seconds {options.seconds:g} --concurrency {options.concurrency}",
        rows=rows,
        notes=notes,
    ).show(save=options.save)
    sys.exit(not options.quick and any(row["met"] == "no" for row in rows))


def measured(folder: Path, options: Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """Start a run, poll it at full load, and stop it."""
    load = Load(latency_ms=0, concurrency=options.concurrency, seeds_in_flight=options.concurrency, faults=())
    with lasting_run(folder / "run", load) as run:
        process = run.start()
        try:
            wait_for(lambda: _rows(process.pid, run) > PAGE, f"the first rows: {run.output()}")
            time.sleep(WARM_S)
            unasked = _look(process.pid, run)
            time.sleep(options.seconds)
            before, served = _look(process.pid, run), mock_stats(run)["served"]
            polled, seconds = poll(run, options.seconds)
            after = _look(process.pid, run)
            told = _notes(before, after, seconds, mock_stats(run)["served"] - served)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    lags = [_lag_line("left alone", unasked, before), _lag_line("asked all this", before, after)]
    return [*_lines(polled), *lags], [*told, f"- {polled.events} events, at most {polled.gap_ms:.0f} ms apart"]


def poll(run: Run, seconds: float) -> tuple[Polled, float]:
    """Ask in turn for so long, with a stream of events open; how long it took."""
    polled, began_at = Polled(), time.monotonic()
    with _streaming(run, polled):
        newest = max(1, _newest(run) - PAGE)
        while (now := time.monotonic()) - began_at < seconds:
            for name, path in ASKED.items():
                next_at = time.monotonic() + EVERY_S
                polled.times[name].append(_timed(run, path.format(newest=newest)))
                time.sleep(max(0.0, next_at - time.monotonic()))
            newest = max(1, _newest(run) - PAGE)
    return polled, now - began_at


@contextmanager
def _streaming(run: Run, polled: Polled) -> Iterator[None]:
    """Read the events in a thread while the block lasts."""
    with answered(address_of(run.run_dir), "GET", "/api/v1/events") as reply:
        ended = threading.Event()
        reader = threading.Thread(target=_count_events, args=(reply, polled, ended))
        reader.start()
        try:
            yield
        finally:
            ended.set()
            reader.join()


def _count_events(reply: HTTPResponse, polled: Polled, ended: threading.Event) -> None:
    last_at = time.monotonic()
    while not ended.is_set():
        if reply.readline().startswith(b"data:"):
            now = time.monotonic()
            polled.gap_ms = max(polled.gap_ms, 1000 * (now - last_at))
            polled.events, last_at = polled.events + 1, now


def _timed(run: Run, path: str) -> float:
    began_at = time.perf_counter()
    with answered(address_of(run.run_dir), "GET", path) as reply:
        reply.read()
    return 1000 * (time.perf_counter() - began_at)


def _newest(run: Run) -> int:
    with answered(address_of(run.run_dir), "GET", "/api/v1/rows/page?limit=1") as reply:
        return int(orjson.loads(reply.read())["last"])


def _look(pid: int, run: Run) -> Look:
    seen = look(pid, run.run_dir)
    if seen is None:
        raise ServiceGoneError(run.output())
    return seen


def _rows(pid: int, run: Run) -> int:
    try:
        seen = look(pid, run.run_dir)
    except KeyError:  # no rows are counted before there are any
        return 0
    return 0 if seen is None else seen.rows


def _lines(polled: Polled) -> Iterator[dict[str, Any]]:
    for name, times in polled.times.items():
        cut = quantiles(times, n=100, method="inclusive")
        yield {
            "what": name,
            "asked": len(times),
            "p50 ms": cut[49],
            "p99 ms": cut[98],
            "max ms": max(times),
            "target": f"p99 {MOST_MS:g} ms",
            "met": "yes" if cut[98] <= MOST_MS else "no",
        }


def _lag_line(when: str, before: Look, after: Look) -> dict[str, Any]:
    late = lateness([now - then for now, then in zip(after.lag, before.lag, strict=True)])
    is_met = late.p50 <= LAG_MS.p50 and late.p99 <= LAG_MS.p99 and late.most <= LAG_MS.most
    return {
        "what": f"loop lag, {when}: below",
        "p50 ms": late.p50,
        "p99 ms": late.p99,
        "max ms": late.most,
        "target": f"{LAG_MS.p50:g} / {LAG_MS.p99:g} / {LAG_MS.most:g} ms",
        "met": "yes" if is_met else "no",
    }


def _notes(before: Look, after: Look, seconds: float, served: int) -> list[str]:
    busy, seeds = (after.cpu_s - before.cpu_s) / seconds, (after.rows - before.rows) / seconds
    load = f"{served / seconds:.0f} answers and {seeds:.1f} seeds a second"
    return [f"- {load}, {busy:.2f} cores for the service and its scorers, WAL {after.wal_mb:.2g} MB"]


if __name__ == "__main__":
    main()
