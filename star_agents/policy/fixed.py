"""A rule that learns nothing: what learning is measured against.

Law: p is that of the start, whatever is earned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from star_agents.core.records import PairWeights
from star_agents.policy.credits import Credit


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRule:
    """Begun with `weights.uniform`, it draws every pair alike."""

    floor: float = 0.0

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:  # noqa: ARG002  # see the port
        """See `UpdateRule`; p is the same object as before."""
        return PairWeights(weights.version + 1, weights.pairs, weights.p)

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:  # noqa: ARG002  # see the port
        """Nothing: p is all there is."""
        return ()
