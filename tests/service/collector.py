"""A real OpenTelemetry collector, as far as traces go: OTLP/HTTP on the loopback interface, kept in memory."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from gzip import decompress

from aiohttp import web
from aiohttp.test_utils import unused_port
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Plain = str | bool | int | float


@dataclass
class Collector:
    """What came in: spans in order, their attributes by name, and the headers of the last request."""

    url: str
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, Plain] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def named(self, prefix: str) -> list[Span]:
        """Spans whose name begins so."""
        return [span for span in self.spans if span.name.startswith(prefix)]

    async def take(self, request: web.Request) -> web.Response:
        """`POST /v1/traces`."""
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = decompress(body)
        self.headers = dict(request.headers)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = plain(list(group.resource.attributes))
            for scoped in group.scope_spans:
                self.spans += scoped.spans
        return web.Response(content_type="application/x-protobuf")


def plain(attributes: list[KeyValue]) -> dict[str, Plain]:
    """Attributes by their names."""
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Plain:
    kinds: dict[str, Callable[[], Plain]] = {
        "string_value": lambda: value.string_value,
        "bool_value": lambda: value.bool_value,
        "int_value": lambda: value.int_value,
        "double_value": lambda: value.double_value,
    }
    return kinds[value.WhichOneof("value") or ""]()


@asynccontextmanager
async def collecting(port: int | None = None) -> AsyncIterator[Collector]:
    """Start one, on a free port unless told which, and stop it in the end."""
    port = port or unused_port()
    collector = Collector(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield collector
    finally:
        await runner.cleanup()
