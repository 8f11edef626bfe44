"""Which replica gets the next call.

Laws: of the replicas that may be sent to, a due probe comes first, and then the one with the fewest tokens
outstanding; a call with an affinity goes to the replica it belongs to, whose prefix cache is warm, unless that one
has too much more to do than the least loaded. The replica that has just failed the call, and one that hangs, come
last. A replica that just came back is given its share little by little. Pure: time is an argument.
"""

from dataclasses import dataclass

from star_agents.traffic.affinity import preferred
from star_agents.traffic.breaker import Breaker, State

WARM_CALLS = 4
WARM_SHARE = 0.5
"""A warm replica may have so many calls like this one more to do than the least loaded, and such a share more."""
SLOW_START_S = 20.0
SLOW_START_FROM = 0.1
"""A replica that came back counts as so much smaller than it is, growing to its size over this time."""
HUNG_AFTER_S = 120.0
"""A replica that ended no call for so long, while others did, is taken to hang."""

_DUE_PROBE, _SUSPECT, _AVOIDED, _NOT_NOW = 0.0, 1e15, 1e18, float("inf")
"""Costs besides tokens: of the first choice, of the last two, and of none."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call of so many tokens goes. The caller hands it back with the outcome, exactly once."""

    replica: int
    is_probe: bool
    tokens: int = 1


class Router:
    """Spreads calls over the replicas of one endpoint."""

    __slots__ = ("_busy_since", "_next", "_progressed_at", "breakers", "hung_after_s", "in_flight", "outstanding")

    def __init__(self, num_replicas: int, *, hung_after_s: float = HUNG_AFTER_S) -> None:
        self.breakers = tuple(Breaker() for _ in range(num_replicas))
        self.hung_after_s = hung_after_s
        self.in_flight = [0] * num_replicas
        self.outstanding = [0] * num_replicas
        """Tokens of the calls that are out."""
        self._busy_since = [0.0] * num_replicas
        """The last progress of a replica, or when it began to have calls out."""
        self._progressed_at = [float("-inf")] * num_replicas
        self._next = 0

    def wait_s(self, now: float) -> float | None:
        """Seconds until some replica takes a call, 0 for now, None for: not before a probe comes back."""
        if len(self.breakers) == 1:
            return self.breakers[0].wait_s(now)
        waits = [wait for breaker in self.breakers if (wait := breaker.wait_s(now)) is not None]
        return min(waits, default=None)

    def start(self, now: float, tokens: int = 1, *, affinity: int | None = None, avoid: int | None = None) -> Route:
        """Choose a replica for a call of about `tokens` tokens, and count it out.

        `affinity` names what its prompt begins with, so that the next one like it finds that in a cache; `avoid` is
        the replica that has just failed it.

        Only when `wait_s` is 0.
        """
        chosen = 0 if len(self.breakers) == 1 else self._choose(now, tokens, affinity, avoid)
        if not self.in_flight[chosen]:
            self._busy_since[chosen] = now
        self.in_flight[chosen] += 1
        self.outstanding[chosen] += tokens
        self._next = (chosen + 1) % len(self.breakers)
        return Route(chosen, self.breakers[chosen].start(), tokens)

    def end(self, route: Route) -> None:
        """Count the call in again, however it ended."""
        self.in_flight[route.replica] -= 1
        self.outstanding[route.replica] -= route.tokens

    def note_progress(self, now: float, replica: int) -> None:
        """The replica ended a call, or wrote a part of an answer: it does not hang."""
        self._busy_since[replica] = self._progressed_at[replica] = now

    def suspects(self, now: float) -> frozenset[int]:
        """Replicas with calls out that showed no progress for `hung_after_s`, while another did since."""
        return frozenset(index for index in range(len(self.breakers)) if self._is_suspect(now, index))

    def has_working(self, *, besides: int) -> bool:
        """True where another replica than this one is in use."""
        return any(breaker.state is State.CLOSED for i, breaker in enumerate(self.breakers) if i != besides)

    def num_open(self) -> int:
        """Replicas that do not work, as far as is known."""
        return sum(breaker.state is not State.CLOSED for breaker in self.breakers)

    def is_down(self) -> bool:
        """True where that is all of them."""
        return self.num_open() == len(self.breakers)

    def down_for_s(self, now: float) -> float:
        """How long no replica has worked; 0 while one does."""
        times = [breaker.down_since for breaker in self.breakers if breaker.down_since is not None]
        return now - max(times) if len(times) == len(self.breakers) else 0.0

    def is_fatal(self) -> bool:
        """True where no replica will be of use before somebody mends something."""
        return all(breaker.is_fatal for breaker in self.breakers)

    def _choose(self, now: float, tokens: int, affinity: int | None, avoid: int | None) -> int:
        costs = [self._cost(now, index, tokens, avoid) for index in range(len(self.breakers))]
        turn = costs[self._next :] + costs[: self._next]
        least = min(turn)
        if affinity is not None and least > _DUE_PROBE:
            warm = preferred(affinity, [index for index, cost in enumerate(costs) if cost < _NOT_NOW])
            if costs[warm] <= least * (1 + WARM_SHARE) + WARM_CALLS * tokens:
                return warm
        return (self._next + turn.index(least)) % len(costs)

    def _cost(self, now: float, index: int, tokens: int, avoid: int | None) -> float:
        """Tokens it would have to do with this call, as if it had its full size, or what is worse than any number."""
        breaker = self.breakers[index]
        if breaker.state is not State.CLOSED:
            cost = _DUE_PROBE if breaker.wait_s(now) == 0.0 else _NOT_NOW
        else:
            cost, back_for = float(self.outstanding[index] + tokens), now - breaker.closed_at
            if back_for < SLOW_START_S:
                cost /= max(SLOW_START_FROM, back_for / SLOW_START_S)
            if now - self._busy_since[index] >= self.hung_after_s and self._is_suspect(now, index):
                cost += _SUSPECT
        return cost + _AVOIDED if index == avoid else cost

    def _is_suspect(self, now: float, index: int) -> bool:
        since = self._busy_since[index]
        if now - since < self.hung_after_s or not self.in_flight[index]:
            return False
        return any(at > since for i, at in enumerate(self._progressed_at) if i != index)
