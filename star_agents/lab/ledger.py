"""A store in memory that adds up what a simulated run comes to.

Law: it sees what a real store would be told and nothing else; what it knows besides is the world's truth, which it
compares that with. It keeps sums, so a run of any length takes the same memory, unless it is to keep the log.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nlargest

from star_agents.core import clock
from star_agents.core.calls import Failure, Purpose, Reply, Request
from star_agents.core.records import Candidate, Graded, PairWeights, Plan, RowSource, Slot, Update
from star_agents.lab.outcome import Point
from star_agents.lab.texts import quality_of
from star_agents.lab.world import World
from star_agents.storage.spending import Account, Spend, booked

ReplyKind = tuple[str, str, Purpose, bool]
"""Agent, pair, purpose, and whether it failed."""


@dataclass(slots=True)
class Mean:
    """A running mean."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        """Count one more, if there is one."""
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def value(self) -> float | None:
        """The mean, or None of nothing."""
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class Sums:
    """What is added up over seeds."""

    selected: Mean = field(default_factory=Mean)
    regret: Mean = field(default_factory=Mean)


class Ledger:
    """`core.ports.Store`. With `keep_log` every update stays in `log`."""

    def __init__(self, world: World, *, replacement: bool, keep_log: bool = False) -> None:
        self.sums = Sums()
        self.drawn = Mean()
        self.base = Mean()
        self.rows: Counter[str] = Counter()
        self.points: list[Point] = []
        self.log: list[Update] = []
        self.num_seeds = 0
        self._replies: Counter[ReplyKind] = Counter()
        self._examples: dict[ReplyKind, tuple[Request, Reply]] = {}
        self._world = world
        self._replacement = replacement
        self._step = world.num_seeds / world.section.points
        self._keep_log = keep_log
        self._latest = Sums()

    async def assign(self, plan: Plan) -> None:
        """Nothing to add up yet."""

    async def respond(self, request: Request, reply: Reply) -> None:
        """Count the reply."""
        kind = request.agent, request.pair, request.key.purpose, isinstance(reply, Failure)
        if kind not in self._examples:
            self._examples[kind] = request, reply
        self._replies[kind] += 1

    @property
    def spend(self) -> dict[Account, Spend]:
        """What was booked, as the real store books it: here all calls of one agent have the same tokens."""
        found: dict[Account, Spend] = {}
        for kind, (request, reply) in self._examples.items():
            account, spend = booked(request, reply)
            found[account] = found.get(account, Spend()) + _times(spend, self._replies[kind])
        return found

    @property
    def calls(self) -> Counter[str]:
        """By purpose."""
        found = Counter[str]()
        for (_, _, purpose, _), count in self._replies.items():
            found[purpose.value] += count
        return found

    @property
    def failures(self) -> int:
        """Calls that ended without an answer."""
        return sum(count for (*_, is_failure), count in self._replies.items() if is_failure)

    async def learn(self, update: Update) -> None:
        """Compare a batch with the truth."""
        if self._keep_log:
            self.log.append(update)
        for graded in update.graded:
            self._add(graded)
        self.num_seeds += len(update.graded)
        if self.num_seeds >= self._step * (len(self.points) + 1) or self.num_seeds == self._world.num_seeds:
            self._note(update.weights)

    def _note(self, weights: PairWeights) -> None:
        latest, self._latest = self._latest, Sums()
        self.points.append(
            Point(
                seeds=self.num_seeds,
                virtual_s=clock.now(),
                p=weights.p,
                selected=latest.selected.value,
                regret=latest.regret.value or 0.0,
            )
        )

    def _add(self, graded: Graded) -> None:
        plan = graded.settled.plan
        for slot, outcome in zip(plan.slots, graded.settled.outcomes, strict=True):
            if isinstance(outcome, Candidate):
                (self.base if slot.is_base else self.drawn).add(quality_of(outcome.response))
        self.rows[graded.selection.source.value] += 1
        selected, drawn = _row(graded), [slot for slot in plan.slots if not slot.is_base]
        regret = self._regret(plan.seed.number, drawn) if drawn else None
        for sums in (self.sums, self._latest):
            sums.selected.add(selected)
            sums.regret.add(regret)

    def _regret(self, number: int, drawn: Sequence[Slot]) -> float:
        """How far the drawn pairs are, by their true means, below the best that could have been drawn."""
        qualities = self._world.qualities(number)
        best = max(qualities) if self._replacement else sum(nlargest(len(drawn), qualities)) / len(drawn)
        return best - sum(self._world.quality(slot.pair, number) for slot in drawn) / len(drawn)


def _times(spend: Spend, count: int) -> Spend:
    return Spend(
        calls=spend.calls * count,
        failures=spend.failures * count,
        sends=spend.sends * count,
        input_tokens=spend.input_tokens * count,
        output_tokens=spend.output_tokens * count,
    )


def _row(graded: Graded) -> float | None:
    """The quality of the row that the seed left, or None where it left none."""
    selection = graded.selection
    if selection.source is RowSource.SEED:
        return quality_of(graded.settled.plan.seed.response)
    if selection.slot is None:
        return None
    outcome = graded.settled.outcomes[selection.slot]
    return quality_of(outcome.response) if isinstance(outcome, Candidate) else None
