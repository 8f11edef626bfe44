"""How many retries an endpoint is worth: few when it works, hardly any when it does not.

Law: over any span, retries are at most `CAPACITY`, two for each success, and one in `TRICKLE_S` seconds. A retry
that finds the budget empty waits for it and is never failed for that. So a storm of failures cannot become a storm
of retries, whatever each call is owed. After gRPC's proposal A6 (retry throttling), with a trickle so that nothing
waits for ever on an endpoint that nobody else asks. A6 earns a tenth for each success and fails what is beyond; here
no call is failed for it, so with a tenth an endpoint that fails one send in five would pile its calls up for ever, and
after an outage a run whose calls all wait would trickle. With two for each success they come back in doubling
numbers, each answer vouching for the next two; what keeps a dead endpoint quiet is the breaker.
"""

from star_agents.traffic.limits import TICK_S

CAPACITY = 100.0
EARNED = 2.0
"""What a success adds."""
TRICKLE_S = 10.0
"""One more in this time, whatever happens."""


class RetryBudget:
    """The budget of one endpoint."""

    __slots__ = ("_level", "_updated_at")

    def __init__(self) -> None:
        self._level = CAPACITY
        self._updated_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """Seconds until a retry may go out, 0 for now; a success may bring it nearer, so ask again."""
        wait = (1.0 - self._filled(now)) * TRICKLE_S
        return wait if wait > TICK_S else 0.0

    def spend(self, now: float) -> None:
        """A retry goes out; only when `wait_s` is 0."""
        self._level = self._filled(now) - 1.0

    def earn(self) -> None:
        """A call was answered."""
        self._level = min(CAPACITY, self._level + EARNED)

    def _filled(self, now: float) -> float:
        if now > self._updated_at:
            self._level = min(CAPACITY, self._level + (now - self._updated_at) / TRICKLE_S)
            self._updated_at = now
        return self._level

    def __repr__(self) -> str:
        return f"<RetryBudget {self._level:.1f}/{CAPACITY:.0f}>"
