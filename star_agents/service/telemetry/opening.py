"""From the section `telemetry` to the ports of a run, watched or as they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from star_agents.core.errors import ConfigError
from star_agents.service.config.settings import TelemetrySection
from star_agents.service.telemetry.spans import Traces
from star_agents.service.telemetry.traced import Watch


@asynccontextmanager
async def watching(section: TelemetrySection, run: str) -> AsyncIterator[Watch | None]:
    """What the ports of a run are watched with, and nothing where no endpoint is given; what waits is sent at the end.

    `run` is a text that no other run has.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if section.endpoint is None:
        yield None
        return
    try:  # asked for by few, and half a second to import
        from star_agents.service.telemetry.otlp import OtlpSink
    except ImportError as error:
        raise ConfigError(
            f"telemetry.endpoint: {error.name} is not installed; run pip install 'star-agents[otel]', or leave it out"
        ) from None
    traces = Traces(run, section.sample)
    sink = await asyncio.to_thread(OtlpSink, section.endpoint, traces)
    try:
        yield Watch(sink, traces)
    finally:
        await asyncio.to_thread(sink.close)
