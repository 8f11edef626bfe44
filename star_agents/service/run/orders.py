"""Orders to a run, by whatever door: on record first, then done, and their outcome on record before it is told.

Laws: nothing of an order takes effect before it is durable; those that are durable take effect in the order of their
numbers, as far as they are done at once; and what was on record when a process was killed is never done later: who gave
it was not answered, and gives it again, with the same key if it had one. What is recorded holds no secret.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from star_agents.core.errors import ConfigError, NotNowError
from star_agents.core.secret import Mask
from star_agents.service.config.secret_refs import secrets_of
from star_agents.service.run.inbox import Inbox
from star_agents.service.run.job import Job
from star_agents.storage.commands import Command, Noted, Order, Outcome, Verb, read_begun, read_newest
from star_agents.storage.failpoints import failpoint
from star_agents.storage.store import RunStore

SHOWN = 5
"""Orders that a snapshot shows."""

MAX_BODY_BYTES = 8192
"""Of an order on record; of a longer one the beginning stays, and its digest."""

MAX_REASONS = 10
MAX_REASON_CHARS = 500

VOID = "its process ended before it was done, or before that was on record"

Act = Callable[[int], Awaitable[object]]
"""Does what was ordered, as order number N; returns plain data."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gives an order: by which door, and the key that names the order to them."""

    actor: str
    key: str | None = None


class CommandLog(Protocol):
    """What puts orders on record; see `RunStore`."""

    async def note(self, order: Order) -> Noted:
        """Record an order, or find the one of its key."""
        ...

    async def settle(self, number: int, outcome: Outcome, answer: object) -> None:
        """Record what came of it."""
        ...


class Orders:
    """The orders of one run; `newest` are those of earlier starts, newest first."""

    def __init__(self, commands: CommandLog, mask: Mask, newest: Sequence[Command] = ()) -> None:
        self._commands = commands
        self._mask = mask
        self._recent = {command.id: command for command in reversed(newest)}

    @property
    def recent(self) -> tuple[Command, ...]:
        """The newest orders, newest first."""
        return tuple(reversed(self._recent.values()))

    async def obey(self, order: Order, act: Act) -> Any:  # noqa: ANN401  # plain data
        """Do what is ordered, once; returns what it came to, now or when it was first ordered under its key.

        Raises:
            ConfigError: it cannot be done as asked, or its key was another order's.
            NotNowError: not now; or the same order is under way.
            StoreError: it cannot be put on record, and was not done; or what came of it could not.
        """
        order = self._fit(order)
        command, is_new = await self._commands.note(order)
        if not is_new:
            return _said_before(command, order)
        self._show(command)
        failpoint("command.noted")
        try:
            answer = await act(command.id)
        except (ConfigError, NotNowError) as error:
            await self._settle(command, Outcome.REFUSED, self._reasons(error))
            raise
        failpoint("command.obeyed")
        await self._settle(command, Outcome.DONE, answer)
        return answer

    async def _settle(self, command: Command, outcome: Outcome, answer: object) -> None:
        await self._commands.settle(command.id, outcome, answer)
        if command.id in self._recent:  # others may have come since
            self._recent[command.id] = replace(command, outcome=outcome, answer=answer)

    def _show(self, command: Command) -> None:
        self._recent[command.id] = command
        while len(self._recent) > SHOWN:
            del self._recent[next(iter(self._recent))]

    def _fit(self, order: Order) -> Order:
        """The order as it is recorded: without secrets, and not too long."""
        body = self._masked(order.body)
        text = orjson.dumps(body)
        if len(text) > MAX_BODY_BYTES:
            digest = hashlib.sha256(text).hexdigest()
            body = {"begins": text[:MAX_REASON_CHARS].decode(errors="replace"), "bytes": len(text), "sha256": digest}
        return replace(order, body=body, key=None if order.key is None else self._mask(order.key))

    def _masked(self, value: Any) -> Any:  # noqa: ANN401  # walks plain data
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, Mapping):
            return {self._mask(key): self._masked(item) for key, item in value.items()}
        return [self._masked(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _reasons(self, error: ConfigError | NotNowError) -> list[str]:
        reasons = error.problems if isinstance(error, ConfigError) else (str(error),)
        return [self._mask(reason)[:MAX_REASON_CHARS] for reason in reasons[:MAX_REASONS]]


def _said_before(command: Command, order: Order) -> Any:  # noqa: ANN401  # plain data
    """What an order came to whose key is known."""
    if (command.verb, dict(command.body)) != (order.verb, dict(order.body)):
        raise ConfigError(
            f"Idempotency-Key: order {command.id} had it and was another ({command.verb}); take a new one"
        )
    if command.outcome is Outcome.BEGUN:
        raise NotNowError(f"order {command.id} has this Idempotency-Key and is under way; ask for its outcome")
    return command.answer


async def settle_left(commands: CommandLog, left: Sequence[Command], inbox: Inbox) -> None:
    """Close the orders that an earlier start left open. None is done: those whose effect is durable are told so.

    A change of the pool is never among them once it was made: it closes its order in its own commit.

    Raises:
        StoreError: the inbox cannot be read, or the store not written.
    """
    feedings = {command.id for command in left if command.verb is Verb.SEEDS}
    fed = await asyncio.to_thread(inbox.fed_by, feedings) if feedings else {}
    for command in left:
        is_done = command.id in fed
        if not is_done:
            log.warning("order %d (%s by %s) is void: %s", command.id, command.verb, command.actor, VOID)
        outcome, answer = (Outcome.DONE, fed[command.id]) if is_done else (Outcome.VOID, [VOID])
        await commands.settle(command.id, outcome, answer)


def digest_of(rows: Sequence[object]) -> str:
    """What tells one feeding from another. Blocks, for as long as it takes to read them."""
    return hashlib.sha256(orjson.dumps(list(rows))).hexdigest()


async def open_orders(job: Job, store: RunStore) -> Orders:
    """The orders of a run that goes on. What a crash has torn of the inbox has been cut off before.

    Raises:
        StoreError: the run folder cannot be read, or not written.
    """
    database = job.folder.database
    await settle_left(store, await asyncio.to_thread(read_begun, database), Inbox(job.folder.inbox))
    newest = await asyncio.to_thread(read_newest, database, limit=SHOWN)
    return Orders(store, Mask(secrets_of(job.settings, job.environ)), newest)
