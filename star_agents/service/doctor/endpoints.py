"""Asking a config's endpoints whether they are there, know us, serve the model, answer, and have our time.

Law: each replica is asked once for its models; one call of a few tokens goes to each endpoint, unless that is not
wanted. Servers that the run would start itself are looked for on this machine, not started.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from star_agents.core import clock
from star_agents.core.calls import CallKey, Message, Purpose, Request, SamplingParams
from star_agents.core.errors import AuthFailedError, CallError, ConfigError, ReplyError
from star_agents.endpoints import preflight
from star_agents.endpoints.choice_probe import ask, settled
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec
from star_agents.service.doctor.checks import Finding, Level, cause_of, fail, ok, warn

MAX_SKEW_S = 30.0
"""A `Date` header has whole seconds, and may come out of a cache; limits that reset at a date need no better."""

SUBJECT = "endpoint"

_HELLO = Request(
    CallKey(0, Purpose.RESPOND, 0), "doctor", (Message("user", "Say hello."),), SamplingParams(16, temperature=0.0), 0
)


async def replica(spec: EndpointSpec, url: str, *, calls: bool) -> list[Finding]:
    """One replica of an endpoint.

    Raises:
        ConfigError: `ca_file` is of no use.
    """
    async with ReplicaClient(spec, url) as client:
        try:
            raw = await preflight.listed(client)
        except CallError as error:
            return [_failed(error, "start it, or mend its URL")]
        found = [*_served(spec, url, raw), *clock_of(spec, raw, datetime.fromisoformat(clock.wall()))]
        if calls and all(finding.level is not Level.FAIL for finding in found):
            found.append(await _answers(client, spec))
        return found


def _failed(error: CallError | ConfigError, mend: str) -> Finding:
    return fail(SUBJECT, str(error).removeprefix("endpoint "), mend, cause=cause_of(error))


def _served(spec: EndpointSpec, url: str, raw: RawReply) -> Iterator[Finding]:
    complaint = preflight.complaint(spec, url, raw)
    if isinstance(complaint, ConfigError):
        yield _failed(complaint, f"mend endpoints.{spec.name}")
    elif complaint is not None:
        yield _failed(complaint, "wait for it, or start it")
    else:
        yield ok(SUBJECT, f"{spec.name} ({url}) is there and knows us ({raw.latency_s * 1000:.0f} ms)")


def clock_of(spec: EndpointSpec, raw: RawReply, now: datetime) -> Iterator[Finding]:
    """Our clock against the server's; `now` has its time zone."""
    try:
        theirs = parsedate_to_datetime(raw.headers.get("date", ""))
    except ValueError:
        return
    skew = (now - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()
    if abs(skew) > MAX_SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        seen = f"this machine is {abs(skew):.0f} s {way} endpoint {spec.name}"
        yield warn("clock", seen, "let the machine keep time by NTP: limits that reset at a date are misread")
    else:
        yield ok("clock", f"as endpoint {spec.name} has it, within {MAX_SKEW_S:.0f} s")


async def _answers(client: ReplicaClient, spec: EndpointSpec) -> Finding:
    """Whether a call is answered: many servers list their models to everybody, and check the key only here."""
    try:
        completion = await ask(client, spec, _HELLO)
    except ReplyError as error:
        return warn(SUBJECT, f"{spec.name} answers, though not with text: {error}", "give its agents more max_tokens")
    except AuthFailedError as error:
        return fail(SUBJECT, str(error).removeprefix("endpoint "), f"mend endpoints.{spec.name}.api_key")
    except CallError as error:
        return _failed(error, f"mend endpoints.{spec.name}")
    return ok(SUBJECT, f"{spec.name}: {completion.model or spec.model} answers")


async def judge_choice(spec: EndpointSpec) -> list[Finding]:
    """How the judge's server can be held to a choice, where the config asks for one.

    Raises:
        ConfigError: `ca_file` is of no use.
    """
    way = (await settled(spec)).choices
    if way == "none":
        return [warn("judge", "no way to hold its server to a choice was found", "say judge.verdict: text")]
    return [ok("judge", f"verdicts are chosen by {way}")]
