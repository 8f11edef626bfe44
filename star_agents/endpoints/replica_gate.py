"""What the fleet lets the supervisor of one replica's server see and do.

Law: holding a replica stops what is sent to it and nothing else: calls that are out go on, other replicas are used.
"""

from star_agents.core import clock
from star_agents.endpoints.admission import Admission
from star_agents.endpoints.meter import Meter
from star_agents.traffic.routing import Router


class ReplicaGate:
    """`servers.gate.Gate` of the replica at `index`."""

    def __init__(self, index: int, router: Router, meter: Meter, admission: Admission) -> None:
        self._index = index
        self._router = router
        self._meter = meter
        self._admission = admission

    @property
    def in_flight(self) -> int:
        """See `Gate`."""
        return self._router.in_flight[self._index]

    @property
    def last_answer_at(self) -> float | None:
        """See `Gate`."""
        return self._meter.last_answer_at[self._index]

    def hold(self) -> None:
        """See `Gate`."""
        self._router.breakers[self._index].hold(clock.now())

    def release(self) -> None:
        """See `Gate`."""
        self._router.breakers[self._index].release()
        self._admission.let_in()
