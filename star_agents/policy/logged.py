"""A run's log as replay sees it: what was drawn, how probable each draw was, and what it earned.

Law: it holds nothing that was not known to the run itself, in the order in which the run learnt it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from star_agents.core.records import AgentPair, Epoch, Graded, Slot
from star_agents.policy.credits import Credit, CreditOptions, by_slot
from star_agents.policy.selection import NOT_JUDGED


@dataclass(frozen=True, slots=True)
class LoggedDraw:
    """One drawn slot: its `reward` in [0, 1], None where it is not known, and whether it taught the run's rule.

    One that taught without a known reward is a draw that a fault took (`CreditOptions.faults`).

    With `is_unjudged` it is not known because lazy judging left it out, which it does to the weaker ones.
    """

    slot: Slot
    reward: float | None
    teaches: bool
    is_unjudged: bool = False


@dataclass(frozen=True, slots=True)
class LoggedSeed:
    """One finished seed: the version it was drawn from, what could be drawn, and what was.

    `barred` could not be drawn: base pairs, and those whose endpoint was down.
    """

    number: int
    version: int
    draws: tuple[LoggedDraw, ...]
    pool: frozenset[AgentPair] = frozenset()
    barred: frozenset[AgentPair] = frozenset()
    embedding: bytes = field(default=b"", repr=False)

    def urns(self) -> Iterator[tuple[bool, tuple[LoggedDraw, ...]]]:
        """Whether it is the memory bank's pool, and what was drawn from it, in order; for both urns, if drawn from."""
        for from_memory in (True, False):
            if draws := tuple(draw for draw in self.draws if draw.slot.from_memory is from_memory):
                yield from_memory, draws


@dataclass(frozen=True, slots=True)
class LoggedStep:
    """What made one version: a batch of finished seeds in commit order, or a change of the pool."""

    version: int
    seeds: tuple[LoggedSeed, ...] = ()
    epoch: Epoch | None = None


def logged(item: Graded, learning: CreditOptions) -> LoggedSeed:
    """A finished seed for replay; `learning` says what the run's rule was taught."""
    plan = item.settled.plan
    earned = by_slot(item, replace(learning, credit="all"))
    teaching = earned if learning.credit == "all" else by_slot(item, learning)
    draws = tuple(
        LoggedDraw(
            slot,
            _reward(earned.get(slot.number)),
            slot.number in teaching,
            grade.reason == NOT_JUDGED,
        )
        for slot, grade in zip(plan.slots, item.grades, strict=True)
        if not slot.is_base
    )
    barred = frozenset((*plan.masked, *(slot.pair for slot in plan.slots if slot.is_base)))
    return LoggedSeed(plan.seed.number, plan.weights_version, draws, frozenset(plan.pool), barred, plan.embedding)


def _reward(credit: Credit | None) -> float | None:
    return credit.pi if credit is not None and credit.is_known else None


def all_pairs(start: Iterable[AgentPair], log: Iterable[LoggedStep]) -> tuple[AgentPair, ...]:
    """Every pair that was ever in the pool: those of the start, then the others as they joined."""
    joined = (pair for step in log if step.epoch is not None for pair in step.epoch.added)
    return tuple(dict.fromkeys((*start, *joined)))
