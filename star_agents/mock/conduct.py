"""How a healthy server behaves: what it says, how long it takes, what it lets in."""

from dataclasses import dataclass

from star_agents.mock.answers import USUAL_LENGTHS, Lengths
from star_agents.mock.batching import Batching
from star_agents.mock.limits import ApiLimits


@dataclass(frozen=True, slots=True)
class CapacityStep:
    """From `at_s` on the server can do `factor` of what it could at first: slots, knee and limits alike."""

    at_s: float
    factor: float


@dataclass(frozen=True, slots=True)
class Outage:
    """From `from_s` to `until_s` nobody listens and open connections are cut; again every `period_s`, if given."""

    from_s: float
    until_s: float
    period_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """Times are in seconds, and counted from when the server began to listen."""

    seed: int = 0
    """Another seed, other answers and latencies."""
    models: tuple[str, ...] = ("m",)
    """What `GET /v1/models` lists; any model is served."""
    api_key: str | None = None
    """Demanded of every request where it is given."""
    idle_s: float | None = None
    """Connections on which nothing came for so long are closed."""
    lengths: Lengths = USUAL_LENGTHS
    latency_s: float = 0.0
    """The median reply takes so long; drawn by the request and by how often it came."""
    latency_sigma: float = 0.0
    """Of the logarithm of the latency."""
    slots: int | None = None
    """Replies made at once; further ones wait in line. None is no end of them."""
    batching: Batching | None = None
    """In place of latency and slots: the time of a server that batches."""
    limits: ApiLimits | None = None
    capacity: tuple[CapacityStep, ...] = ()
    outages: tuple[Outage, ...] = ()


USUAL = Conduct()
"""At once, without end, open to all."""
