"""Which stage holds the others back: decided here alone, and told with the snapshot that it was decided from.

Whoever shows a run shows `RunStatus.bottleneck`; the terminal, the page and the log cannot differ.
Law: what holds the others back is busy and has a queue. A full queue in front of an idle stage is about to be taken;
a busy stage with nothing in front of it keeps up. Pressure is the product of the two, from 0 to 1; the highest wins,
of equals the one furthest down the stream, because what is before it is full on its account.
"""

from collections.abc import Iterator
from dataclasses import replace

from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.scoring.crew import CrewState
from star_agents.scoring.pool import PoolStatus
from star_agents.service.view.status import STATES, Bottleneck, Phase, RunStatus

LEAST_PRESSURE = 0.25
"""Below it nothing is worth a word: every queue holds something now and then."""

_WORKING = frozenset({Phase.RUNNING, Phase.DRAINING})


def with_bottleneck(status: RunStatus) -> RunStatus:
    """The snapshot with the answer in it."""
    return replace(status, bottleneck=bottleneck(status))


def bottleneck(status: RunStatus) -> Bottleneck | None:
    """The stage that holds the others back, or None where none does."""
    if status.phase not in _WORKING:
        return None
    worst: Bottleneck | None = None
    for found in _stages(status):
        if found.pressure >= LEAST_PRESSURE and (worst is None or found.pressure >= worst.pressure):
            worst = found
    return worst


def fill(channel: ChannelStatistics | None, seeds_in_flight: int) -> float:
    """How full a queue is, from 0 to 1: against its room, or against all that could be in it where that is less."""
    if channel is None:
        return 0.0
    room = min(channel.capacity, seeds_in_flight)
    return min(1.0, channel.depth / room) if room > 0 else 0.0


def endpoint_pressure(endpoint: EndpointStatus) -> float:
    """Calls that wait, against those that may go out; an endpoint that is not `ok` is as busy as can be."""
    limit = max(1, endpoint.limit)
    busy = 1.0 if endpoint.state != "ok" else min(1.0, endpoint.in_flight / limit)
    return busy * endpoint.waiting / (endpoint.waiting + limit)


def scorer_pressure(scorer: PoolStatus, fullness: float) -> float:
    """Batches that wait, before the pool or in it; workers that are not there yet count as busy."""
    if scorer.workers <= 0:
        return 0.0
    busy = 1.0 if scorer.state is not CrewState.READY else min(1.0, scorer.busy / scorer.workers)
    return busy * max(fullness, scorer.queued / (scorer.queued + scorer.workers))


def _stages(status: RunStatus) -> Iterator[Bottleneck]:
    """Every stage with its pressure, in the order in which seeds pass."""
    channels = {channel.name: channel for channel in status.channels}
    for endpoint in status.endpoints:
        yield Bottleneck(f"endpoint {endpoint.name}", _held(endpoint), endpoint_pressure(endpoint))
    unjudged = channels.get("unjudged")
    if unjudged is not None:
        why = f"{unjudged.depth} seeds wait for a verdict"
        yield Bottleneck("judge", why, fill(unjudged, status.seeds_in_flight))
    if status.scorer is not None:
        yield _scorer(status.scorer, channels.get("candidates"), status.seeds_in_flight)
    marked = channels.get("marked")
    if marked is not None and marked.waiting_senders:
        why = f"{marked.depth} finished seeds wait to be learnt from"
        yield Bottleneck("learner", why, fill(marked, status.seeds_in_flight))


def _scorer(scorer: PoolStatus, candidates: ChannelStatistics | None, seeds_in_flight: int) -> Bottleneck:
    waiting = 0 if candidates is None else candidates.depth
    why = f"{scorer.busy} of {scorer.workers} workers busy, {waiting} seeds and {scorer.queued} batches wait"
    return Bottleneck("scorer", why, scorer_pressure(scorer, fill(candidates, seeds_in_flight)))


def _held(endpoint: EndpointStatus) -> str:
    if endpoint.state != "ok":
        return f"{STATES[endpoint.state]}, {endpoint.waiting} calls wait"
    return f"{endpoint.in_flight} of {endpoint.limit} calls out, {endpoint.waiting} wait"
