"""One look at a running service from outside: what the system knows of its processes, and what it says of itself.

Law: a service that does not answer is None, never a wait without end: who looks goes on looking.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from star_agents.client.connection import address_of, answered
from star_agents.core.errors import ServiceGoneError, ServiceRefusedError
from star_agents.service.view.loop_lag import BOUNDS_S

MB = 1e6
LAG = "star_agents_event_loop_lag_seconds_bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Sizes in MB (10^6 bytes), times in milliseconds; `lag` are counts by bucket of `loop_lag.BOUNDS_S`."""

    rss_mb: float
    children_rss_mb: float
    children: int
    fds: int
    threads: int
    tasks: int
    wal_mb: float
    rows: int
    cpu_s: float
    """Of the service and its children, since they were started."""
    status_ms: float
    metrics_ms: float
    lag: tuple[int, ...]


def look(pid: int, run_dir: Path) -> Look | None:
    """Ask a service for its status and its metrics, and the system for its processes. Blocks."""
    try:
        process = psutil.Process(pid)
        status_ms, _ = _timed(run_dir, "/api/v1/status")
        metrics_ms, page = _timed(run_dir, "/metrics")
        children = process.children(recursive=True)
        told = _figures(page.decode())
        return Look(
            rss_mb=process.memory_info().rss / MB,
            children_rss_mb=sum(child.memory_info().rss for child in children) / MB,
            children=len(children),
            fds=process.num_fds(),
            threads=process.num_threads(),
            cpu_s=sum(sum(one.cpu_times()[:2]) for one in (process, *children)),
            status_ms=status_ms,
            metrics_ms=metrics_ms,
            **told,
        )
    except (psutil.Error, ServiceGoneError, ServiceRefusedError):
        return None


def _timed(run_dir: Path, path: str) -> tuple[float, bytes]:
    began_at = time.perf_counter()
    with answered(address_of(run_dir), "GET", path) as reply:
        body = reply.read()
    return 1000 * (time.perf_counter() - began_at), body


def _figures(page: str) -> dict[str, Any]:
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    by_name: dict[str, float] = {}
    for sample in samples:
        by_name[sample.name] = by_name.get(sample.name, 0.0) + sample.value
    below = {sample.labels["le"]: int(sample.value) for sample in samples if sample.name == LAG}
    return {
        "tasks": int(by_name["star_agents_event_loop_tasks"]),
        "wal_mb": by_name["star_agents_store_wal_bytes"] / MB,
        "rows": int(by_name["star_agents_rows_total"]),
        "lag": _counts(below),
    }


def _counts(below: Mapping[str, int]) -> tuple[int, ...]:
    """Prometheus counts what is below a bound; here a bucket is what lies between two."""
    cumulated = [below[str(bound)] for bound in (*BOUNDS_S, "+Inf")]
    return tuple(now - before for before, now in zip([0, *cumulated], cumulated, strict=False))


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of an event loop, in milliseconds; upper ends of the histogram's buckets, so never less than it was."""

    p50: float
    p99: float
    most: float

    def __str__(self) -> str:
        return f"p50 below {self.p50:g} ms, p99 below {self.p99:g} ms, at most {self.most:g} ms"


def lateness(counts: Sequence[int]) -> Lateness:
    """Percentiles of a histogram; 0 where it is empty."""
    ends = [1000 * bound for bound in (*BOUNDS_S, float("inf"))]
    total, seen = sum(counts), 0
    below: list[float] = []
    for count in counts:
        seen += count
        below.append(seen / total if total else 1.0)

    def quantile(share: float) -> float:
        return next(end for end, reached in zip(ends, below, strict=True) if reached >= share)

    return Lateness(quantile(0.5), quantile(0.99), quantile(1.0)) if total else Lateness(0.0, 0.0, 0.0)
