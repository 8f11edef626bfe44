"""`star-agents mock-server`: an OpenAI-compatible server that makes its answers up, and fails on cue."""

import asyncio
import signal
import ssl
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from star_agents.core.errors import ConfigError

if TYPE_CHECKING:
    from star_agents.mock.server import MockServer

ANSWERS, TIME, LIMITS, FAULTS = "Answers", "Time", "Limits of an API", "Faults"
"""Panels of the help."""


class TimeModel(StrEnum):
    """How long replies take."""

    LATENCY = "latency"
    VLLM = "vllm"


class HeaderStyle(StrEnum):
    """In whose words limits are told."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def mock_server(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    port_file: Annotated[Path | None, typer.Option(help="Written, whole, once the server listens.")] = None,
    journal: Annotated[Path | None, typer.Option(help="What was received and served, appended as JSON lines.")] = None,
    models: Annotated[str, typer.Option(help="Names that GET /v1/models lists, between commas.")] = "m",
    api_key: Annotated[str | None, typer.Option(help="Demand it of every request.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Speak TLS with this certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, if it is not in the same file.")] = None,
    idle_s: Annotated[float | None, typer.Option(min=0, help="Close connections that are idle for so long.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed: other answers, latencies and faults.")] = 0,
    tokens: Annotated[float, typer.Option(min=1, rich_help_panel=ANSWERS, help="Median length of answers.")] = 35.0,
    tokens_sigma: Annotated[float, typer.Option(min=0, rich_help_panel=ANSWERS, help="Of its logarithm.")] = 0.45,
    time: Annotated[TimeModel, typer.Option(rich_help_panel=TIME, help="How long replies take.")] = TimeModel.LATENCY,
    latency_ms: Annotated[float, typer.Option(min=0, rich_help_panel=TIME, help="latency: of the median.")] = 0.0,
    latency_sigma: Annotated[float, typer.Option(min=0, rich_help_panel=TIME, help="latency: its spread.")] = 0.0,
    slots: Annotated[int | None, typer.Option(min=1, rich_help_panel=TIME, help="latency: replies at once.")] = None,
    max_running: Annotated[int, typer.Option(min=1, rich_help_panel=TIME, help="vllm: sequences at once.")] = 256,
    knee: Annotated[float, typer.Option(min=1, rich_help_panel=TIME, help="vllm: sequences that fill it.")] = 32.0,
    decode_rate: Annotated[float, typer.Option(min=0.01, rich_help_panel=TIME, help="vllm: tokens/s of one.")] = 50.0,
    prefill_rate: Annotated[float, typer.Option(min=0.01, rich_help_panel=TIME, help="vllm: of a prompt.")] = 5000.0,
    kv_tokens: Annotated[int | None, typer.Option(min=1, rich_help_panel=TIME, help="vllm: size of the cache.")] = None,
    capacity: Annotated[
        list[str] | None, typer.Option(rich_help_panel=TIME, help="AT_S:FACTOR: from then on so much; repeat.")
    ] = None,
    rpm: Annotated[float | None, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Requests a minute.")] = None,
    tpm: Annotated[float | None, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Tokens a minute.")] = None,
    input_tpm: Annotated[float | None, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Of prompts.")] = None,
    output_tpm: Annotated[float | None, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Of answers.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(min=1, rich_help_panel=LIMITS, help="Calls at once.")] = None,
    burst_s: Annotated[float, typer.Option(min=0, rich_help_panel=LIMITS, help="What a bucket holds.")] = 60.0,
    headers: Annotated[HeaderStyle, typer.Option(rich_help_panel=LIMITS, help="In whose words.")] = HeaderStyle.OPENAI,
    fault: Annotated[list[str] | None, typer.Option(rich_help_panel=FAULTS, help="NAME[:RATE[:ARG]]; repeat.")] = None,
    script: Annotated[Path | None, typer.Option(rich_help_panel=FAULTS, help="A file of faults, YAML or JSON.")] = None,
    down: Annotated[
        list[str] | None, typer.Option(rich_help_panel=FAULTS, help="FROM_S:UNTIL_S[:PERIOD_S]: nobody listens.")
    ] = None,
    list_faults: Annotated[bool, typer.Option(rich_help_panel=FAULTS, help="Print them and leave.")] = False,
) -> None:
    """Serve made-up answers like an OpenAI-compatible server, at the speed and with the faults you ask for.

    Runs until SIGTERM or Ctrl-C. GET /mock/stats counts; --journal tells everything.
    """
    from star_agents.mock.answers import Lengths
    from star_agents.mock.batching import Batching
    from star_agents.mock.catalogue import listing
    from star_agents.mock.conduct import CapacityStep, Conduct, Outage
    from star_agents.mock.journal import Journal
    from star_agents.mock.limits import ApiLimits
    from star_agents.mock.script import Rules
    from star_agents.mock.script_file import Scenario, read_scenario, rule_of
    from star_agents.mock.server import MockServer

    if list_faults:
        typer.echo(listing(), nl=False)
        return
    scenario = Scenario() if script is None else read_scenario(script, seed)
    rules = Rules((*scenario.rules, *(rule_of(text, seed) for text in fault or ())))
    batching = Batching(
        max_running=max_running, knee=knee, decode_rate=decode_rate, prefill_rate=prefill_rate, kv_tokens=kv_tokens
    )
    limits = ApiLimits(
        requests=rpm,
        tokens=tpm,
        input_tokens=input_tpm,
        output_tokens=output_tpm,
        in_flight=max_in_flight,
        burst_s=burst_s,
        style=headers.value,
    )
    steps = _numbers("--capacity", capacity, (2,))
    outages = _numbers("--down", down, (2, 3))
    conduct = Conduct(
        seed=seed,
        models=tuple(models.split(",")),
        api_key=api_key,
        idle_s=idle_s,
        lengths=Lengths(median=tokens, sigma=tokens_sigma),
        latency_s=latency_ms / 1000,
        latency_sigma=latency_sigma,
        slots=slots,
        batching=batching if time is TimeModel.VLLM else None,
        limits=limits if limits.is_any else None,
        capacity=(*scenario.capacity, *(CapacityStep(*step) for step in steps)),
        outages=(*scenario.outages, *(Outage(*outage) for outage in outages)),
    )
    if journal is not None:
        _check_writable(journal)
    kept = Journal(journal, keeps_entries=False)
    _serve(MockServer(rules, conduct=conduct, journal=kept, port=port, tls=_tls(tls_cert, tls_key)), port_file)


def _numbers(option: str, texts: Iterable[str] | None, counts: tuple[int, ...]) -> list[list[float]]:
    """`1:2.5` as numbers, so many of them as the option takes."""
    found = []
    for text in texts or ():
        try:
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in counts:
            raise ConfigError(f"{option} {text}: write {' or '.join(map(str, counts))} numbers with colons between")
        found.append(numbers)
    return found


def _check_writable(file: Path) -> None:
    """Complain before anything is served, not when the first entry is to be written."""
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"--tls-cert {certificate}: cannot be used: {error.strerror}") from None
    return context


def _serve(server: "MockServer", port_file: Path | None) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_signal(server, port_file))


async def _until_signal(server: "MockServer", port_file: Path | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        if port_file is not None:
            await asyncio.to_thread(_write_whole, port_file, str(server.port))
        typer.echo(f"listening: {server.base_url}")
        await stopped.wait()


def _write_whole(file: Path, text: str) -> None:
    draft = file.with_suffix(".draft")
    try:
        draft.write_text(text)
        draft.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
