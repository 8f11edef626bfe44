"""A snapshot of a run as Prometheus reads it.

Law: the names of series come from the config and from fixed lists, never from what a server or a model said: ten
thousand odd errors make one series more, `other`. Nothing here asks the run anything; it is handed a snapshot.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from star_agents.core.errors import StarError, reasons
from star_agents.core.records import RowSource
from star_agents.core.version import __version__
from star_agents.endpoints.meter import EndpointStatus
from star_agents.service.view.loop_lag import BOUNDS_S, LoopLag
from star_agents.service.view.status import Phase, RunStatus

Figures = Mapping[Any, float]
"""Values by the labels of their series, a tuple of texts of any length."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of the process besides the run."""

    lag: LoopLag
    stalls: int
    tasks: int
    wal_bytes: int


REASONS = reasons(StarError)
"""Why calls fail: the codes of our own errors."""


def render(status: RunStatus, health: Health) -> bytes:
    """The whole page. Blocks for a moment: it reads what the system knows of this process."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(status, health))
    return generate_latest(registry)


class _Snapshot(Collector):
    """Hands a snapshot to the library."""

    def __init__(self, status: RunStatus, health: Health) -> None:
        self._status = status
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """Every family."""
        yield from _of_run(self._status)
        yield from _of_seeds(self._status)
        yield from _of_pairs(self._status)
        yield from _of_channels(self._status)
        yield from _of_endpoints(self._status.endpoints)
        yield from _of_scorer(self._status)
        yield from _of_money(self._status)
        yield from _of_judge(self._status)
        yield from _of_process(self._health)


def _gauge(name: str, told: str, values: Figures, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"star_agents_{name}", told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, told: str, values: Figures, *labels: str) -> Metric:
    family = CounterMetricFamily(f"star_agents_{name}", told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _of_run(status: RunStatus) -> Iterator[Metric]:
    yield _gauge("run_info", "Which run this is.", {(status.name, __version__): 1}, "run", "version")
    phases = {(str(phase),): float(status.phase is phase) for phase in Phase}
    yield _gauge("phase", "1 for the phase that the run is in.", phases, "phase")
    yield _gauge("weights_version", "The newest version of the pair weights.", {(): status.weights_version})


def _of_seeds(status: RunStatus) -> Iterator[Metric]:
    rows = {(str(source),): float(status.events.get(f"row.{source}", 0)) for source in RowSource}
    yield _counter("rows", "Finished seeds over all starts, by where their row came from.", rows, "source")
    yield _gauge("seeds_expected", "Seeds that the run will end with, as known now.", {(): status.seeds_total})
    yield _counter("seeds_fed", "Rows that were fed to the run, over all starts.", {(): status.seeds_fed})
    yield _gauge("seeds_in_flight", "Seeds planned and not learnt from.", {(): status.seeds_in_flight})
    yield _gauge("seeds_per_second", "Seeds finished a second, of late.", {(): status.seeds_per_s})


def _of_pairs(status: RunStatus) -> Iterator[Metric]:
    p = {(pair.pair,): pair.p for pair in status.pairs if pair.p is not None}
    yield _gauge("pair_probability", "The weight of a pair of the pool.", p, "pair")
    draws = {(pair.pair,): float(pair.draws) for pair in status.pairs}
    yield _counter("pair_draws", "How often a pair was drawn, over all starts.", draws, "pair")
    wins = {(pair.pair,): float(pair.wins) for pair in status.pairs}
    yield _counter("pair_wins", "How often a pair's row was selected, over all starts.", wins, "pair")


def _of_channels(status: RunStatus) -> Iterator[Metric]:
    depth = {(channel.name,): float(channel.depth) for channel in status.channels}
    yield _gauge("channel_depth", "Items that wait between two stages.", depth, "channel")
    capacity = {(channel.name,): float(channel.capacity) for channel in status.channels}
    yield _gauge("channel_capacity", "How many may wait.", capacity, "channel")
    passed = {(channel.name,): float(channel.passed) for channel in status.channels}
    yield _counter("channel_passed", "Items that went through since the start.", passed, "channel")


def _of_endpoints(endpoints: Iterable[EndpointStatus]) -> Iterator[Metric]:
    by_name = {(one.name,): one for one in endpoints}

    def each(attribute: str) -> dict[tuple[str, ...], float]:
        return {key: float(getattr(one, attribute)) for key, one in by_name.items()}

    up = {key: float(one.state == "ok") for key, one in by_name.items()}
    yield _gauge("endpoint_up", "1 while an endpoint takes calls; 0 paused by a rate limit, or down.", up, "endpoint")
    yield _gauge("endpoint_in_flight", "Calls that are out.", each("in_flight"), "endpoint")
    yield _gauge("endpoint_limit", "Calls that may be out, as learnt or set.", each("limit"), "endpoint")
    yield _gauge("endpoint_waiting", "Calls that wait for room.", each("waiting"), "endpoint")
    yield _counter("endpoint_requests", "Calls sent since the start, retries included.", each("requests"), "endpoint")
    yield _counter("endpoint_retries", "Calls sent again since the start.", each("retries"), "endpoint")
    faults = _by_reason({key: one.faults for key, one in by_name.items()})
    yield _counter("endpoint_faults", "Sends that failed since the start.", faults, "endpoint", "reason")
    failures = _by_reason({key: one.failures for key, one in by_name.items()})
    yield _counter("endpoint_failures", "Calls given up since the start.", failures, "endpoint", "reason")
    tokens = {(*key, "input"): float(one.input_tokens) for key, one in by_name.items()}
    tokens |= {(*key, "output"): float(one.output_tokens) for key, one in by_name.items()}
    yield _counter("endpoint_tokens", "Tokens served since the start.", tokens, "endpoint", "direction")
    yield _gauge("endpoint_tokens_per_second", "Tokens written a second, of late.", each("tokens_per_s"), "endpoint")
    latency = {(*key, "0.5"): one.latency_p50_s for key, one in by_name.items()}
    latency |= {(*key, "0.95"): one.latency_p95_s for key, one in by_name.items()}
    known = {key: value for key, value in latency.items() if value is not None}
    yield _gauge("endpoint_latency_seconds", "How long answers took, of late.", known, "endpoint", "quantile")


def _by_reason(counts: Mapping[tuple[str, ...], Mapping[str, int]]) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for key, by_reason in counts.items():
        for reason, count in by_reason.items():
            name = (*key, reason if reason in REASONS else OTHER)
            found[name] = found.get(name, 0.0) + count
    return found


def _of_scorer(status: RunStatus) -> Iterator[Metric]:
    scorer = status.scorer
    if scorer is None:
        return
    yield _gauge("scorer_workers", "Scoring processes.", {(): scorer.workers})
    yield _gauge("scorer_busy", "Scoring processes at work.", {(): scorer.busy})
    yield _gauge("scorer_queued", "Batches that wait for one.", {(): scorer.queued})
    yield _counter("scorer_restarts", "Scoring processes that had to be started anew.", {(): scorer.restarts})
    yield _counter("scorer_samples", "Samples scored since the start.", {(): scorer.samples})
    yield _counter("scorer_tokens", "Tokens read since the start.", {(): scorer.tokens})
    unscored: dict[tuple[str, ...], float] = {("not_finite",): scorer.not_finite}
    unscored |= {("out_of_memory",): scorer.out_of_memory, ("quarantined",): scorer.quarantined}
    yield _counter("scorer_unscored", "Samples without a score, by reason.", unscored, "reason")


def _of_money(status: RunStatus) -> Iterator[Metric]:
    if status.bill is not None:
        lines = status.bill.endpoints
        tokens = {(line.name,): float(line.tokens) for line in lines}
        yield _counter("spent_tokens", "Tokens served over all starts.", tokens, "endpoint")
        dollars = {(line.name,): line.usd for line in lines if line.usd is not None}
        yield _counter("spent_dollars", "Dollars over all starts, where the price is known.", dollars, "endpoint")
    if status.budget is not None and status.budget.usd is not None:
        yield _gauge("budget_dollars", "The ceiling.", {(): status.budget.usd})
    if status.budget is not None and status.budget.tokens is not None:
        yield _gauge("budget_tokens", "The ceiling.", {(): status.budget.tokens})


def _of_judge(status: RunStatus) -> Iterator[Metric]:
    judging = status.judging
    if judging is None:
        return
    comparisons = {("asked",): float(judging.asked), ("spared",): float(judging.spared)}
    yield _counter("judge_comparisons", "Comparisons, over all starts.", comparisons, "outcome")
    yield _gauge("judge_unparsed_ratio", "Answers that could not be read.", {(): judging.unparsed_rate or 0.0})
    yield _gauge("judge_alarm", "1 while the judge fails its probes.", {(): float(judging.probes.is_alarmed)})
    yield _counter("judge_suspects", "Answers that try to sway the judge.", {(): judging.suspects})


def _of_process(health: Health) -> Iterator[Metric]:
    lag = HistogramMetricFamily("star_agents_event_loop_lag_seconds", "How late the event loop wakes who sleeps.")
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), health.lag.buckets, strict=True):
        total += count
        buckets.append((bound, total))
    lag.add_metric([], buckets=buckets, sum_value=health.lag.sum_s)
    yield lag
    yield _counter("event_loop_stalls", "Times the event loop stood still.", {(): health.stalls})
    yield _gauge("event_loop_tasks", "Tasks that are not done.", {(): health.tasks})
    yield _gauge("store_wal_bytes", "Size of the store's write-ahead log.", {(): health.wal_bytes})
