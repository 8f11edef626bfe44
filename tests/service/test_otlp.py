"""Spans over OTLP/HTTP: to a collector that is there, to one that is not, and to one that comes back."""

import asyncio
import logging
import sys
from pathlib import Path
from time import perf_counter

import pytest
from aiohttp.test_utils import unused_port
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from star_agents.core.errors import ConfigError
from star_agents.service.config.settings import TelemetrySection
from star_agents.service.telemetry import otlp
from star_agents.service.telemetry.opening import watching
from star_agents.service.telemetry.otlp import BATCH, QUEUE, REQUEST_S, OtlpSink
from star_agents.service.telemetry.spans import Span, Traces
from tests.loops import run_real
from tests.service.collector import Collector, collecting, plain

TRACES = Traces("quickstart 2026-01-01", 1.0)
SECOND = 1_000_000_000


def span(seed: int, name: str = "score", **more: object) -> Span:
    return Span(**{"seed": seed, "name": name, "start_ns": SECOND, "end_ns": 2 * SECOND, **more})  # type: ignore[arg-type]  # fields


async def sent(*spans: Span) -> Collector:
    async with collecting() as collector:
        sink = await asyncio.to_thread(OtlpSink, collector.url, TRACES)
        for each in spans:
            sink.tell(each)
        await asyncio.to_thread(sink.close)
        return collector


def test_a_seed_and_its_children_are_one_trace() -> None:
    """Ids as `Traces` gives them; every child has the seed for its parent, and an id of its own."""
    collector = run_real(sent(span(3), span(3, "chat m", is_call=True), span(3, "seed", is_root=True)))
    score, chat, root = collector.spans
    assert {each.trace_id for each in collector.spans} == {TRACES.trace_id(3).to_bytes(16)}
    assert (root.span_id, root.parent_span_id) == (TRACES.root_id(3).to_bytes(8), b"")
    assert {score.parent_span_id, chat.parent_span_id} == {root.span_id}
    assert len({each.span_id for each in collector.spans}) == 3
    assert (chat.kind, score.kind) == (Sent.SPAN_KIND_CLIENT, Sent.SPAN_KIND_INTERNAL)
    assert (score.start_time_unix_nano, score.end_time_unix_nano) == (SECOND, 2 * SECOND)
    assert collector.resource["service.name"] == "star-agents"
    assert collector.resource["service.instance.id"] == TRACES.run


def test_attributes_and_errors_arrive() -> None:
    """An error is the span's status and its `error.type`."""
    collector = run_real(sent(span(1, attributes={"gen_ai.usage.input_tokens": 7}, error="timeout")))
    (only,) = collector.spans
    assert plain(list(only.attributes)) == {"gen_ai.usage.input_tokens": 7, "error.type": "timeout"}
    assert (only.status.code, only.status.message) == (2, "timeout")


def test_headers_come_from_opentelemetry_s_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a token of the collector is in no config."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    assert run_real(sent(span(1))).headers["x-team"] == "blue"


def test_a_collector_that_is_away_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Telling never waits, what does not fit is forgotten, one line says so, and the end comes in bounded time."""

    async def main() -> tuple[float, float]:
        sink = await asyncio.to_thread(OtlpSink, f"http://127.0.0.1:{unused_port()}", TRACES)
        start = perf_counter()
        for seed in range(2 * QUEUE):
            sink.tell(span(seed))
        told = perf_counter()
        await asyncio.to_thread(sink.close)
        return told - start, perf_counter() - told

    with caplog.at_level(logging.DEBUG):
        telling, closing = run_real(main())
    assert telling / (2 * QUEUE) < 0.001
    assert closing < 3 * REQUEST_S
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "the run goes on" in lines[0]


def test_a_collector_that_comes_back_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Once when spans stop getting through, once when they do again, however many batches that is."""

    class Flaky(SpanExporter):
        def __init__(self) -> None:
            self.results = [*[SpanExportResult.FAILURE] * 3, *[SpanExportResult.SUCCESS] * 3]

        def export(self, spans: object) -> SpanExportResult:  # as the SDK has it
            return self.results.pop(0)

    patient = otlp._Patient(Flaky(), "http://collector")
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            patient.export([])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_more_than_one_batch_arrives() -> None:
    """Everything that was told before the end."""
    collector = run_real(sent(*(span(seed) for seed in range(3 * BATCH))))
    assert len(collector.spans) == 3 * BATCH


def test_without_an_endpoint_nothing_is_watched() -> None:
    """And OpenTelemetry is not even imported by it."""

    async def main() -> object:
        async with watching(TelemetrySection(), "run") as watch:
            return watch

    assert run_real(main()) is None


def test_a_missing_library_is_said_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any model is started."""
    monkeypatch.delitem(sys.modules, "star_agents.service.telemetry.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)

    async def main() -> None:
        async with watching(TelemetrySection(endpoint="http://127.0.0.1:4318"), "run"):
            raise AssertionError

    with pytest.raises(ConfigError, match=r"telemetry\.endpoint: .*star-agents\[otel\]"):
        run_real(main())


def test_nothing_else_imports_it() -> None:
    """The package of half a second is loaded by the runs that ask for it alone."""
    package = Path(otlp.__file__).parents[2]
    texts = {file.name: file.read_text() for file in package.rglob("*.py")}
    assert [name for name, text in texts.items() if "from opentelemetry" in text or "import opentelemetry" in text] == [
        "otlp.py"
    ]
