"""A draw that a fault of the infrastructure took is taken for a usual one of its pair.

Law: faults do not move p, in expectation. Eq. 8 only adds, so a pair whose calls fail falls behind the others as if
its answers were worse; here such a draw earns what the pair's last draws earned on average, and leaves the others'
shares as they would have been. A fill stands on a draw that was seen: a pair that fails more often than it answers
uses up what is known of it, and is then filled no more. So an endpoint that is gone for good is not drawn for ever.

The state is (mean, draws it stands on), pair by pair, before whatever the rule itself knows of the pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from star_agents.core.records import AgentPair, PairWeights
from star_agents.policy.credits import Credit
from star_agents.policy.weights import UpdateRule, positions

MEMORY = 100.0
"""Draws that a mean stands on at most; after those it follows the pair slowly."""


@dataclass(frozen=True, slots=True)
class FilledRule:
    """`rule`, taught the usual in place of what is not known (`Credit.is_known`).

    A pair that never earned anything known is not filled: nothing is usual for it yet.
    """

    rule: UpdateRule

    @property
    def floor(self) -> float:
        """That of the rule."""
        return self.rule.floor

    def update(self, weights: PairWeights, batch: Sequence[Credit]) -> PairWeights:
        """See `UpdateRule`; the version is the rule's own, with two numbers a pair before its state."""
        if not batch:
            return PairWeights(weights.version + 1, weights.pairs, weights.p, weights.state)
        usual, inner = _parted(weights)
        after = self.rule.update(inner, usual.filled(weights.pairs, batch))
        return PairWeights(after.version, after.pairs, after.p, usual.joined(after))

    def newcomer(self, weights: PairWeights) -> tuple[float, ...]:
        """Nothing is known of it yet, beside what the rule takes for known."""
        if not weights.state:
            return ()
        return (0.0, 0.0, *self.rule.newcomer(_parted(weights)[1]))


@dataclass(frozen=True, slots=True)
class _Usual:
    """By place of the pair: what its draws earn on average, and how many of them that stands on."""

    means: list[float]
    seen: list[float]

    def filled(self, pairs: Sequence[AgentPair], batch: Sequence[Credit]) -> list[Credit]:
        """The batch as the rule is taught it, in its order; what is known is brought up to date on the way."""
        means, seen, told = self.means, self.seen, []
        for place, credit in zip(positions(pairs, batch), batch, strict=True):
            if credit.is_known:
                seen[place] = min(seen[place] + 1, MEMORY)
                means[place] += (credit.pi - means[place]) / seen[place]
                told.append(credit)
            elif seen[place] >= 1:
                seen[place] -= 1
                told.append(replace(credit, pi=means[place], is_known=True))
        return told

    def joined(self, after: PairWeights) -> tuple[float, ...]:
        """The state of a version: these two numbers a pair before the rule's own."""
        return _woven([self.means, self.seen, *_columns(after)])


def _parted(weights: PairWeights) -> tuple[_Usual, PairWeights]:
    """What is kept here, and the version as the rule knows it."""
    if not weights.state:
        nothing = [0.0] * len(weights.pairs)
        return _Usual(nothing, nothing.copy()), weights
    columns = _columns(weights)
    if len(columns) < 2:  # noqa: PLR2004  # a mean and a number
        raise ValueError(f"{len(weights.state)} numbers for {len(weights.pairs)} pairs are no state of a filled rule")
    means, seen, *others = columns
    return _Usual(list(means), list(seen)), replace(weights, state=_woven(others))


def _columns(weights: PairWeights) -> list[Sequence[float]]:
    """The state's first number of every pair, its second, and so on."""
    width, rest = divmod(len(weights.state), len(weights.pairs))
    return [] if rest else [weights.state[first::width] for first in range(width)]


def _woven(columns: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The numbers pair by pair again."""
    if not columns:
        return ()
    state = [0.0] * (len(columns) * len(columns[0]))
    for first, column in enumerate(columns):
        state[first :: len(columns)] = column
    return tuple(state)
