"""A bounded queue that ends by being closed.

Law: every operation either happens or raises `CancelledError` leaving the channel as it was; no item is
lost, doubled, or overtakes another of the same sender; never more than `capacity` items wait.

When the last sender closes, receivers get what is left and then the end. When the last receiver closes,
senders get `BrokenChannelError`. So a stage ends because its input ended: no sentinel, no flag, no poll.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class EndOfChannelError(Exception):
    """All senders have closed and nothing is left."""


class BrokenChannelError(Exception):
    """All receivers have closed: nobody will ever take the item."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a channel looks like now; for the live screen and for tests."""

    name: str
    depth: int
    """Items waiting."""
    capacity: int
    peak: int
    """Most items that ever waited."""
    passed: int
    """Items taken out so far."""
    waiting_senders: int
    waiting_receivers: int


@dataclass(slots=True)
class _State(Generic[T]):
    """What the two ends share; touched only from the loop's thread."""

    name: str
    capacity: int
    items: deque[T]
    receivers: deque[asyncio.Future[None]]
    senders: deque[asyncio.Future[None]]
    open_senders: int = 0
    open_receivers: int = 0
    peak: int = 0
    passed: int = 0

    def has_room(self) -> bool:
        return len(self.items) < self.capacity or not self.open_receivers

    def put(self, item: T) -> None:
        self.items.append(item)
        self.peak = max(self.peak, len(self.items))
        _wake_one(self.receivers)

    def take(self) -> T:
        item = self.items.popleft()
        self.passed += 1
        _wake_one(self.senders)
        return item


def _wake_one(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


def _wake_all(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        _wake_one(waiters)


async def _wait_in(waiters: deque[asyncio.Future[None]]) -> None:
    """Wait to be woken; a waiter cancelled after its wake hands the wake on."""
    waiter = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            _wake_one(waiters)
        elif waiter in waiters:
            waiters.remove(waiter)
        raise


class Sender(Generic[T]):
    """A writing end. The channel ends when every one of them has closed."""

    __slots__ = ("_is_open", "_state")

    def __init__(self, state: _State[T]) -> None:
        self._state = state
        self._is_open = True
        state.open_senders += 1

    async def send(self, item: T) -> None:
        """Put an item in, waiting for room.

        Raises:
            BrokenChannelError: nobody reads any more.
            ValueError: this end was closed.
        """
        if not self._is_open:
            raise ValueError(f"channel {self._state.name}: this sender was closed")
        while not self._state.has_room():
            await _wait_in(self._state.senders)
        if not self._state.open_receivers:
            raise BrokenChannelError(self._state.name)
        self._state.put(item)

    def close(self) -> None:
        """Say that this end sends no more; closing twice is harmless."""
        if not self._is_open:
            return
        self._is_open = False
        self._state.open_senders -= 1
        if not self._state.open_senders:
            _wake_all(self._state.receivers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Receiver(Generic[T]):
    """A reading end: many tasks may `receive`, or one may `receive_batch`."""

    __slots__ = ("_is_open", "_state")

    def __init__(self, state: _State[T]) -> None:
        self._state = state
        self._is_open = True
        state.open_receivers += 1

    async def receive(self) -> T:
        """Take the oldest item, waiting for one.

        Raises:
            EndOfChannelError: every sender has closed and nothing is left.
        """
        await self._wait_for(1)
        return self._state.take()

    async def receive_batch(self, limit: int, *, linger_s: float = 0.0) -> list[T]:
        """Take what is there, at least one item and at most `limit`.

        With `linger_s`, waits that long after the first item for the batch to fill. Items stay in the
        channel until the batch is taken whole, so a cancelled wait loses none. For a channel's only reader.

        An empty list means the end: every sender has closed and nothing is left.
        """
        try:
            await self._wait_for(1)
            if linger_s > 0:
                async with asyncio.timeout(linger_s):
                    await self._wait_for(min(limit, self._state.capacity))
        except (TimeoutError, EndOfChannelError):
            pass  # a part of a batch is a batch
        return [self._state.take() for _ in range(min(limit, len(self._state.items)))]

    async def _wait_for(self, count: int) -> None:
        """Return when `count` items wait; at the end of the channel, raise unless items enough are left."""
        while len(self._state.items) < count:
            if not self._state.open_senders:
                raise EndOfChannelError(self._state.name)
            await _wait_in(self._state.receivers)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except EndOfChannelError:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Say that this end reads no more; what is still inside is dropped with the last receiver."""
        if not self._is_open:
            return
        self._is_open = False
        self._state.open_receivers -= 1
        if not self._state.open_receivers:
            self._state.items.clear()
            _wake_all(self._state.senders)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Channel(Generic[T]):
    """A bounded queue with two kinds of ends; `sender()` and `receiver()` open one each."""

    __slots__ = ("_state",)

    def __init__(self, name: str, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"channel {name}: capacity must be at least 1, not {capacity}")
        self._state: _State[T] = _State(name, capacity, deque(), deque(), deque())

    def sender(self) -> Sender[T]:
        """Open a writing end."""
        return Sender(self._state)

    def receiver(self) -> Receiver[T]:
        """Open a reading end."""
        return Receiver(self._state)

    def statistics(self) -> ChannelStatistics:
        """Depth, peak and who waits."""
        state = self._state
        return ChannelStatistics(
            state.name,
            len(state.items),
            state.capacity,
            state.peak,
            state.passed,
            len(state.senders),
            len(state.receivers),
        )

    def __repr__(self) -> str:
        state = self._state
        return f"<Channel {state.name} {len(state.items)}/{state.capacity}>"
