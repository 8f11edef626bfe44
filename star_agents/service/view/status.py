"""One immutable picture of a run, for the live screen, the HTTP face and `status` alike.

Nothing here changes anything: a snapshot is taken by reading, and serialises as it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from star_agents.core.records import RowSource
from star_agents.endpoints.fleet import EndpointStatus
from star_agents.endpoints.meter import EndpointState
from star_agents.endpoints.servers.local import ServerStatus
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.scoring.pool import PoolStatus
from star_agents.service.view.bill import Bill, BudgetStatus
from star_agents.service.view.judge_status import JudgeStatus
from star_agents.service.view.order_line import OrderLine
from star_agents.storage.lost import Lost

CHECKING = "reading the seeds"
"""What a start says of itself while it may still find that it cannot be."""


class Phase(StrEnum):
    """Where a run is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    FINISHED = "finished"
    RESTING = "not running"


OVER = frozenset({Phase.FINISHED, Phase.RESTING})
"""Nothing more is committed by whoever took the snapshot."""


STATES: Mapping[EndpointState, str] = {"ok": "ok", "paused": "paused", "open": "no answer"}
"""What an endpoint's state is called where people read it."""


class Ending(StrEnum):
    """Why a run ended, other than by an error."""

    COMPLETE = "complete"
    LIMIT = "limit reached"
    STOPPED = "stopped on request"
    BUDGET = "budget reached"


@dataclass(frozen=True, slots=True)
class PairStatus:
    """One pair's line in the tables: `p_before` is its weight when the run was new."""

    pair: str
    is_base: bool
    draws: int
    wins: int
    mean_pi: float | None
    p_before: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class PoolChange:
    """A change of the pool during the run: the version of the weights that it made, and why. `agents` were new."""

    version: int
    added: tuple[str, ...]
    retired: tuple[str, ...]
    agents: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LastRow:
    """The newest row kept, beside the seed it came from."""

    seed: int
    source: RowSource
    pair: str | None
    pi: float | None
    seed_instruction: str
    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The stage that holds the others back: `scorer`, `judge`, `learner` or `endpoint NAME`.

    `why` is a few words for a person, `pressure` from 0 to 1 (`view.bottleneck`).
    """

    stage: str
    why: str
    pressure: float


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Everything a person watching a run wants to see. Counts of seeds are over all starts of the run."""

    name: str
    phase: Phase
    message: str
    elapsed_s: float
    seeds_total: int = 0
    seeds_done: int = 0
    seeds_kept: int = 0
    seeds_in_flight: int = 0
    seeds_per_s: float = 0.0
    eta_s: float | None = None
    weights_version: int = 0
    channels: tuple[ChannelStatistics, ...] = ()
    endpoints: tuple[EndpointStatus, ...] = ()
    servers: tuple[ServerStatus, ...] = ()
    """The model servers that we started."""
    scorer: PoolStatus | None = None
    pairs: tuple[PairStatus, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)
    last: LastRow | None = None
    recent: tuple[LastRow, ...] = ()
    """The newest rows that were kept, newest first."""
    bill: Bill | None = None
    """What the run has cost, over all starts."""
    budget: BudgetStatus | None = None
    """None where there is no ceiling."""
    judging: JudgeStatus | None = None
    ending: Ending | None = None
    """Why it ended; None while it has not."""
    seeds_fed: int = 0
    """Rows that were fed to it, over all starts."""
    page: str | None = None
    """Where a browser finds the page, without its token; None where no port is open."""
    changes: tuple[PoolChange, ...] = ()
    """Of the pool, over all starts, oldest first."""
    bottleneck: Bottleneck | None = None
    """None where no stage holds the others back."""
    lost: tuple[Lost, ...] = ()
    """Files of finished rows that are gone."""
    orders: tuple[OrderLine, ...] = ()
    """The newest that were given, newest first."""
