"""Changes of the pool during a run: a pair joins with the mean weight, a retired one's mass is shared out.

Law: an epoch is a version like any other, with a reason; weights stay positive with a sum of 1, the proportions
of those that stay are kept, and a pair that is retired has no weight, so nothing can draw it. The fold of a log
of batches and epochs is the live state, bit for bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, Epoch, PairTally, PairWeights, Tally
from star_agents.policy.credits import Credit
from star_agents.policy.weights import UpdateRule, normalised, raise_to_floor

Step = Sequence[Credit] | Epoch
"""What makes a version: a batch's credits, or a change of the pool."""


def check(weights: PairWeights, epoch: Epoch, *, base: Sequence[AgentPair], floor: float) -> None:
    """Refuse a change that cannot be made; every reason at once.

    Raises:
        ConfigError: a pair is there already, is not there, is a base pair or is named twice; nobody would be left,
            or so many that `floor` takes everything.
    """
    known = set(weights.pairs)
    problems = [f"pair {pair} is in the pool already" for pair in epoch.added if pair in known]
    problems += [f"pair {pair} is a base pair, which is always asked" for pair in epoch.added if pair in base]
    problems += [f"pair {pair} is not in the pool" for pair in epoch.retired if pair not in known]
    named = [*epoch.added, *epoch.retired]
    problems += [f"pair {pair} is named twice" for pair in dict.fromkeys(named) if named.count(pair) > 1]
    if not named:
        problems.append("name a pair to add or to retire")
    num_pairs = len(pairs_after(weights.pairs, epoch))
    if not num_pairs:
        problems.append("no pair would be left to draw; retire fewer, or add one")
    if floor * num_pairs >= 1:
        problems.append(f"evolution.floor: {num_pairs} pairs at {floor:g} each leave nothing to learn; add fewer")
    if problems:
        raise ConfigError(*problems)


def apply(weights: PairWeights, epoch: Epoch, rule: UpdateRule) -> PairWeights:
    """The weights after a change that `check` takes: first pairs leave, then others join, all with the same weight.

    What a rule knows of a pair leaves with it. What p a rule makes of its state is its own business at the next
    update; here it is only carried over.
    """
    stays = [pair not in epoch.retired for pair in weights.pairs]
    rows = _rows(weights)
    kept = PairWeights(
        epoch.version,
        tuple(pair for pair, stay in zip(weights.pairs, stays, strict=True) if stay),
        tuple(p for p, stay in zip(weights.p, stays, strict=True) if stay),
        tuple(number for row, stay in zip(rows, stays, strict=True) if stay for number in row),
    )
    pairs = pairs_after(weights.pairs, epoch)
    mean = sum(kept.p) / len(kept.p) if kept.p else 1.0
    p = normalised((*kept.p, *[mean] * len(epoch.added)))
    newcomer = rule.newcomer(kept if kept.pairs else weights)
    return PairWeights(epoch.version, pairs, raise_to_floor(p, rule.floor), kept.state + newcomer * len(epoch.added))


def pairs_after(pairs: Sequence[AgentPair], epoch: Epoch) -> tuple[AgentPair, ...]:
    """The pool after a change: those that stay in their order, then those that join."""
    return (*(pair for pair in pairs if pair not in epoch.retired), *epoch.added)


def pairs_at(pairs: Sequence[AgentPair], epochs: Iterable[Epoch], version: int | None = None) -> tuple[AgentPair, ...]:
    """The pool of a version, or of the last, of a run that was begun with `pairs`."""
    for epoch in epochs:
        if version is None or epoch.version <= version:
            pairs = pairs_after(pairs, epoch)
    return tuple(pairs)


def taught(weights: PairWeights, batch: Iterable[Credit]) -> tuple[Credit, ...]:
    """The credits that have a weight to move: an answer may come in after its pair was retired."""
    batch, same = tuple(batch), set(map(id, weights.pairs))
    if all(id(credit.pair) in same for credit in batch):  # as long as nothing changed: see `weights.positions`
        return batch
    known = set(weights.pairs)
    return tuple(credit for credit in batch if credit.pair in known)


def fold(start: PairWeights, steps: Iterable[Step], rule: UpdateRule) -> PairWeights:
    """The weights that a log of batches and epochs leads to: equal to the live state, bit for bit."""

    def after(weights: PairWeights, step: Step) -> PairWeights:
        if isinstance(step, Epoch):
            return apply(weights, step, rule)
        return rule.update(weights, taught(weights, step))

    return reduce(after, steps, start)


def count(tally: Tally, epoch: Epoch) -> Tally:
    """The tally after a change: newcomers are counted from 0, and who has left stays, marked; it may come back."""
    changed = dict.fromkeys(epoch.added, False) | dict.fromkeys(epoch.retired, True)
    known = {item.pair for item in tally.pairs}
    pairs = [replace(item, is_retired=changed.get(item.pair, item.is_retired)) for item in tally.pairs]
    pairs += [PairTally(pair, is_retired=retired) for pair, retired in changed.items() if pair not in known]
    return replace(tally, pairs=tuple(pairs))


def _rows(weights: PairWeights) -> list[tuple[float, ...]]:
    """The state, pair by pair."""
    width = len(weights.state) // len(weights.pairs)
    return [weights.state[index * width : (index + 1) * width] for index in range(len(weights.pairs))]
