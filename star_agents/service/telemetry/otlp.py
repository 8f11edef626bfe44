"""Spans on their way to an OpenTelemetry collector, over OTLP/HTTP. The one module that knows OpenTelemetry.

Laws: a collector that is slow, away or wrong costs the run nothing: spans wait in a bounded queue, a thread sends
them, and what does not fit is forgotten. It is said once when they stop getting through, and once when they do again.
The end of a run waits for a collector that does not answer no longer than two requests may take.

Headers, certificates and proxies of the exporter are told by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_*`).
"""

import logging
from collections.abc import Sequence
from random import SystemRandom

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from star_agents.core.version import __version__
from star_agents.service.telemetry.spans import Span, Traces

REQUEST_S = 3.0
"""For one request to the collector, with its retries."""
QUEUE = 8192
"""Spans that wait at most; some 10 MB."""
BATCH = 512
EVERY_S = 2.0
"""Between two requests, unless there is a whole batch before."""

NAME = "star-agents"

log = logging.getLogger(__name__)


class OtlpSink:
    """`SpanSink` for the collector at `endpoint` (`http://host:4318`). Making one and closing it blocks."""

    def __init__(self, endpoint: str, traces: Traces) -> None:
        # What goes wrong with the collector is said here, in one line, not by the library at every try.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._traces = traces
        self._exporter = _Patient(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=REQUEST_S), endpoint)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_S * 1000
        )
        self._scope = InstrumentationScope(NAME, __version__)
        self._resource = Resource.create(
            {"service.name": NAME, "service.version": __version__, "service.instance.id": traces.run}
        )
        self._ids = SystemRandom()

    def tell(self, span: Span) -> None:
        """Take one; where the queue is full the oldest is forgotten."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Send what waits, if the collector takes it."""
        self._exporter.end()
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it so

    def _readable(self, span: Span) -> ReadableSpan:
        trace, sampled = self._traces.trace_id(span.seed), TraceFlags(TraceFlags.SAMPLED)
        root = SpanContext(trace, self._traces.root_id(span.seed), is_remote=False, trace_flags=sampled)
        own = SpanContext(trace, self._ids.getrandbits(64) or 1, is_remote=False, trace_flags=sampled)
        failed = {} if span.error is None else {"error.type": span.error}
        return ReadableSpan(
            name=span.name,
            context=root if span.is_root else own,
            parent=None if span.is_root else root,
            resource=self._resource,
            attributes={**span.attributes, **failed},
            kind=SpanKind.CLIENT if span.is_call else SpanKind.INTERNAL,
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


class _Patient(SpanExporter):
    """Says once that spans do not get through; once the run ends it does not try again what has failed."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._is_failing = False
        self._is_ending = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, on the processor's thread."""
        if self._is_ending and self._is_failing:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("traces do not reach %s: spans are forgotten; the run goes on", self._endpoint)
        elif self._is_failing and not is_failing:
            log.info("traces reach %s again", self._endpoint)
        self._is_failing = is_failing
        return result

    def end(self) -> None:
        """The run is over."""
        self._is_ending = True

    def shutdown(self) -> None:
        """Close the connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)
