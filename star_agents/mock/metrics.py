"""`GET /metrics` as vLLM 0.32 prints it: the same names, labels and kinds, for who paces by them.

Law: only what the mock really knows is printed; counters grow, gauges are of this moment.
Source: `vllm/v1/metrics/loggers.py`, in prometheus_client's text format 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from star_agents.mock.engine import Gauges, Job
from star_agents.mock.stats import Stats

_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
_FIRST_TOKEN_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
)
_FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Observations by bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Latencies:
    """The histograms, in seconds."""

    def __init__(self) -> None:
        self.whole = Histogram(_BUCKETS)
        self.first_token = Histogram(_FIRST_TOKEN_BUCKETS)
        self.queue = Histogram(_BUCKETS)

    def note(self, job: Job, now: float) -> None:
        """A job is done and its reply handed over."""
        self.whole.observe(now - job.arrived_at)
        self.first_token.observe(job.first_token_at - job.arrived_at)
        self.queue.observe(job.started_at - job.arrived_at)


def exposition(model: str, gauges: Gauges, stats: Stats, latencies: Latencies) -> str:
    """The page. `model` is the first that the server lists."""
    return "".join(_lines(f'engine="0",model_name="{model}"', gauges, stats, latencies))


def _lines(labels: str, gauges: Gauges, stats: Stats, latencies: Latencies) -> Iterator[str]:
    yield from _simple(
        "num_requests_running", "gauge", "Number of requests in model execution batches.", labels, gauges.running
    )
    yield from _simple(
        "num_requests_waiting", "gauge", "Number of requests waiting to be processed.", labels, gauges.waiting
    )
    yield from _head("num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.")
    yield f'vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} {float(gauges.waiting)}\n'
    yield f'vllm:num_requests_waiting_by_reason{{{labels},reason="deferred"}} 0.0\n'
    yield from _simple(
        "kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", labels, gauges.kv_usage
    )
    counters = (
        ("num_preemptions_total", "Cumulative number of preemption from the engine.", gauges.preemptions),
        ("prompt_tokens_total", "Number of prefill tokens processed.", int(gauges.prefilled)),
        ("generation_tokens_total", "Number of generation tokens processed.", int(gauges.generated)),
    )
    for name, does, value in counters:
        yield from _simple(name, "counter", does, labels, value)
    yield from _head("request_success_total", "counter", "Count of successfully processed requests.")
    for reason in _FINISH_REASONS:
        yield f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {float(stats.finished[reason])}\n'
    yield from _histogram(
        "time_to_first_token_seconds", "Histogram of time to first token in seconds.", labels, latencies.first_token
    )
    yield from _histogram(
        "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", labels, latencies.whole
    )
    yield from _histogram(
        "request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", labels, latencies.queue
    )


def _head(name: str, kind: str, does: str) -> Iterator[str]:
    yield f"# HELP vllm:{name} {does}\n# TYPE vllm:{name} {kind}\n"


def _simple(name: str, kind: str, does: str, labels: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, does)
    yield f"vllm:{name}{{{labels}}} {float(value)}\n"


def _histogram(name: str, does: str, labels: str, histogram: Histogram) -> Iterator[str]:
    yield from _head(name, "histogram", does)
    below = 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        below += count
        yield f'vllm:{name}_bucket{{{labels},le="{bound}"}} {float(below)}\n'
    yield f"vllm:{name}_count{{{labels}}} {float(below)}\n"
    yield f"vllm:{name}_sum{{{labels}}} {histogram.total}\n"
