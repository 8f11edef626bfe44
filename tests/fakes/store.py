"""A store and a seed source in memory: the same promises as the real ones, and handles to break them by."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from star_agents.core.calls import CallKey, Reply, Request
from star_agents.core.errors import SeedError, StoreError
from star_agents.core.records import (
    Graded,
    MemoryEntry,
    PairWeights,
    Plan,
    Seed,
    Tally,
    Update,
)
from star_agents.storage.commands import Command, Noted, Order, Outcome
from star_agents.storage.manifest import Manifest
from star_agents.storage.recovery import Recovered, Standing
from star_agents.storage.spending import Account, Spend, booked

ANY_MANIFEST = Manifest(config="{}", fingerprint="", input_sha256="", pairs=(), created="2026-01-01T00:00:00.000+00:00")


class Barrier:
    """Stops every call of one method of a store just before it returns, until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the calls waiting here, and all later ones, return."""
        self._opened.set()

    async def wait(self) -> None:
        """Say that a call has come this far, and wait."""
        self.reached.set()
        await self._opened.wait()


class MemoryStore:
    """Keeps everything in dictionaries. `writes` holds what was told, in order, as `(method, value)`.

    `fail_at=n` makes the n-th write (counted from 1) fail, and every one after it. `hold(method)` gives a
    barrier. As in the real store, a write whose waiter is cancelled at a barrier has happened all the same.
    """

    def __init__(self, *, fail_at: int | None = None, manifest: Manifest = ANY_MANIFEST) -> None:
        self.plans: dict[int, Plan] = {}
        self.replies: dict[CallKey, Reply] = {}
        self.spend: dict[Account, Spend] = {}
        self.log: dict[int, Graded] = {}
        self.updates: list[Update] = []
        self.entries: list[MemoryEntry] = []
        self.commands: dict[int, Command] = {}
        self.writes: list[tuple[str, object]] = []
        self._barriers: dict[str, Barrier] = {}
        self._fail_at = fail_at
        self._refusal: str | None = None
        self._manifest = manifest

    @property
    def weights(self) -> PairWeights | None:
        """Those of the last batch."""
        return self.updates[-1].weights if self.updates else None

    def hold(self, method: str) -> Barrier:
        """Make the calls of one method wait before they return."""
        return self._barriers.setdefault(method, Barrier())

    async def assign(self, plan: Plan) -> None:
        """Record a plan."""
        self._begin("assign", plan)
        if plan.seed.number in self.plans:
            self._refuse(f"seed {plan.seed.number} is planned already")
        self.plans[plan.seed.number] = plan
        await self._finish("assign")

    async def respond(self, request: Request, reply: Reply) -> None:
        """Record a reply and book it; the first stays."""
        key = request.key
        self._begin("respond", (key, reply))
        if key.seed not in self.plans:
            self._refuse(f"seed {key.seed} has no plan")
        if key not in self.replies:
            self.replies[key] = reply
            account, spend = booked(request, reply)
            self.spend[account] = self.spend.get(account, Spend()) + spend
        await self._finish("respond")

    async def learn(self, update: Update) -> None:
        """Record a batch, once."""
        self._begin("learn", update)
        numbers = [graded.settled.plan.seed.number for graded in update.graded]
        learnt = sum(number in self.log for number in numbers)
        if 0 < learnt < len(numbers):
            self._refuse("half of the batch was learnt before")
        if len(set(numbers)) < len(numbers) or not self.plans.keys() >= set(numbers):
            self._refuse("a seed comes twice, or without its plan")
        if not numbers or not learnt:
            self.log |= dict(zip(numbers, update.graded, strict=True))
            self.entries += update.entries
            if update.epoch is not None and update.epoch.command in self.commands:
                done = replace(self.commands[update.epoch.command], outcome=Outcome.DONE, answer=update.epoch.version)
                self.commands[done.id] = done
            if update.epoch is None or all(update.epoch != one.epoch for one in self.updates):
                self.updates.append(update)
        await self._finish("learn")

    async def note(self, order: Order) -> Noted:
        """Put an order on record, or find the one of its key."""
        self._begin("note", order)
        known = [one for one in self.commands.values() if order.key is not None and one.key == order.key]
        earlier = next((one for one in known if one.outcome in {Outcome.BEGUN, Outcome.DONE}), None)
        command = Command(
            id=len(self.commands) + 1,
            at="2026-01-01T00:00:00.000+00:00",
            actor=order.actor,
            verb=order.verb,
            outcome=Outcome.BEGUN,
            body=order.body,
            key=order.key,
        )
        if earlier is None:
            self.commands[command.id] = command
        await self._finish("note")
        return Noted(command, is_new=True) if earlier is None else Noted(earlier, is_new=False)

    async def settle(self, number: int, outcome: Outcome, answer: object) -> None:
        """Record what came of an order."""
        self._begin("settle", (number, outcome))
        if number in self.commands:
            self.commands[number] = replace(self.commands[number], outcome=outcome, answer=answer)
        await self._finish("settle")

    async def load(self, *, capacity: int) -> Recovered:
        """What a start would find."""
        still_open = {number: plan for number, plan in self.plans.items() if number not in self.log}
        return Recovered(
            standing=Standing(
                manifest=self._manifest,
                weights=self.weights,
                tally=self.updates[-1].tally if self.updates else Tally(()),
                spend=dict(self.spend),
                batches=sum(bool(update.graded) for update in self.updates),
                finished=len(self.log),
                in_flight=len(still_open),
                next_seed=max(self.plans, default=-1) + 1,
                epochs=tuple(update.epoch for update in self.updates if update.epoch is not None),
            ),
            open_plans=tuple(plan for _, plan in sorted(still_open.items())),
            replies={key: reply for key, reply in self.replies.items() if key.seed in still_open},
            entries=tuple(self.entries[-capacity:]) if capacity else (),
        )

    def _begin(self, method: str, value: object) -> None:
        if self._refusal is not None:
            raise StoreError(self._refusal)
        self.writes.append((method, value))
        if self._fail_at == len(self.writes):
            self._refuse("planted failure")

    def _refuse(self, message: str) -> None:
        self._refusal = message
        raise StoreError(message)

    async def _finish(self, method: str) -> None:
        await asyncio.sleep(0)
        if method in self._barriers:
            await self._barriers[method].wait()


class ListSeeds:
    """A seed source over a list; `fail_at=n` breaks it when seed number n is asked for."""

    def __init__(self, seeds: Sequence[Seed], *, fail_at: int | None = None) -> None:
        self._seeds = list(seeds)
        self._fail_at = fail_at
        self._next = 0

    @classmethod
    def of(cls, *instructions: str) -> "ListSeeds":
        """Seeds with these instructions, numbered from 0."""
        return cls([Seed(number, instruction) for number, instruction in enumerate(instructions)])

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, at most `limit`; an empty list means the end."""
        await asyncio.sleep(0)
        taken = self._seeds[self._next : self._next + limit]
        if self._fail_at is not None and any(seed.number == self._fail_at for seed in taken):
            raise SeedError(f"planted failure at seed {self._fail_at}")
        self._next += len(taken)
        return taken
