"""How many seeds a start takes in: as many as it was asked for, and no more than can be paid for to their end.

Laws: never more than `limit` seeds are handed out; none is while what is spent, set aside for calls that are
out, and expected of the seeds that are open reaches a ceiling. Open seeds may turn out cheaper, so it waits for
them; when none is open and one more does not fit, the intake ends as if the source had ended.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from star_agents.core.ports import SeedSource
from star_agents.core.records import KEEP, Agent, AgentPair, Seed
from star_agents.service.config.settings import Settings
from star_agents.service.config.wiring import prices_of
from star_agents.service.run.job import Inputs
from star_agents.traffic.budget import NO_COST, Budget, Cost
from star_agents.traffic.price import Tariff

LOOK_S = 0.5
"""How often it looks again whether there is room: seeds end by the second, and nobody tells when."""

PROMPT_BYTES = 2000
"""A long prompt, for a run that has not measured its own yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What seeds cost: at `worst` before the first is finished, and then on average, but no more than that."""

    budget: Budget
    worst: Cost
    num_open: Callable[[], int]
    """Seeds planned and not yet learnt from."""
    num_finished: Callable[[], int]
    """Seeds that what is spent was spent on, over all starts."""

    def expected(self) -> Cost:
        """What one seed is likely to cost. What open seeds have spent counts to the finished, so it is rather high."""
        spent, finished = self.budget.spent, self.num_finished()
        if not finished:
            return self.worst
        return Cost(
            min(self.worst.tokens, -(-spent.tokens // finished)),
            min(self.worst.picodollars, -(-spent.picodollars // finished)),
        )

    def affordable(self, wanted: int) -> int:
        """How many of the wanted seeds may be taken in now. The first of a run always may: it tells what one costs."""
        num_open = self.num_open()
        count = self.budget.affords(self.expected(), besides=num_open)
        if count is None:
            return wanted
        is_first = not num_open and not self.num_finished()
        return min(wanted, max(count, int(is_first)))


def worst_seed(settings: Settings, inputs: Inputs, pool: Sequence[AgentPair]) -> Cost:
    """What a seed drawn from `pool` costs at most when nothing is asked twice: all rewrite, answer in full, are judged.

    A probe counts in, too, where there are any.
    """
    tariffs = {name: Tariff(price) for name, price in prices_of(settings).items()}

    def call(agent: Agent) -> Cost:
        return tariffs[agent.endpoint].worst_case(PROMPT_BYTES, agent.params.max_tokens)

    judging = call(inputs.judge) * (2 if settings.judge.swap else 1)

    def pair(one: AgentPair) -> Cost:
        writers = [inputs.agents.response[one.response]]
        if one.instruction != KEEP:
            writers.append(inputs.agents.instruction[one.instruction])
        return sum(map(call, writers), judging)

    drawn = [pair(one) for one in pool]
    dearest = Cost(max(cost.tokens for cost in drawn), max(cost.picodollars for cost in drawn))
    probed = judging if inputs.gold else NO_COST
    return sum(map(pair, inputs.base), dearest * settings.sampling.pairs_per_seed + probed)


class Intake:
    """`core.ports.SeedSource` of one start. It tells afterwards what it ended for, if not for the end of its source."""

    def __init__(self, source: SeedSource, outlook: Outlook, *, limit: int | None) -> None:
        self._source = source
        self._outlook = outlook
        self._limit = limit
        self._ready: deque[Seed] = deque()
        self._taken = 0
        self.is_limited = False
        """There are more seeds than this start was asked for."""
        self.is_out_of_budget = False
        """There are more seeds than there is money for."""

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, waiting until they can be paid for; an empty list means the end.

        Raises:
            SeedError: the source cannot be read on.
        """
        if not self._ready:
            self._ready.extend(await self._source.read(limit))
        if not self._ready:
            return []
        wanted = min(limit, len(self._ready), limit if self._limit is None else self._limit - self._taken)
        self.is_limited = not wanted
        count = await self._affordable(wanted) if wanted else 0
        self._taken += count
        return [self._ready.popleft() for _ in range(count)]

    async def _affordable(self, wanted: int) -> int:
        while not (count := self._outlook.affordable(wanted)) and self._outlook.num_open():  # noqa: ASYNC110  # see LOOK_S
            await asyncio.sleep(LOOK_S)
        self.is_out_of_budget = not count
        return count
