import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.pipeline.channel import BrokenChannelError, Channel, EndOfChannelError, Sender
from tests.loops import DeadlockError, run_virtual


def test_closing_the_last_sender_ends_the_receivers() -> None:
    """Receivers get what is left, then the end."""

    async def main() -> list[int]:
        channel = Channel[int]("test", 4)
        sender, other, receiver = channel.sender(), channel.sender(), channel.receiver()
        await sender.send(1)
        sender.close()
        await other.send(2)
        other.close()
        items = [item async for item in receiver]
        with pytest.raises(EndOfChannelError):
            await receiver.receive()
        return items

    assert run_virtual(main()) == [1, 2]


def test_closing_the_last_receiver_breaks_the_senders() -> None:
    """A sender that waits for room learns that nobody will ever make any."""

    async def main() -> None:
        channel = Channel[int]("test", 1)
        sender, receiver = channel.sender(), channel.receiver()
        await sender.send(1)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_expect_broken(sender.send(2)))
            await asyncio.sleep(1)
            assert channel.statistics().waiting_senders == 1
            receiver.close()
        assert waiting.result()

    run_virtual(main())


async def _expect_broken(sending: Awaitable[None]) -> bool:
    try:
        await sending
    except BrokenChannelError:
        return True
    return False


def test_a_closed_sender_refuses() -> None:
    """Sending on a closed end is a programmer's mistake and says so."""

    async def main() -> None:
        sender = Channel[int]("test", 1).sender()
        sender.close()
        with pytest.raises(ValueError, match="was closed"):
            await sender.send(1)

    run_virtual(main())


def test_capacity_must_be_positive() -> None:
    """A channel of no capacity could never pass anything."""
    with pytest.raises(ValueError, match="at least 1"):
        Channel[int]("test", 0)


def test_batch_waits_for_its_linger_and_no_longer() -> None:
    """A part of a batch is handed out when the linger is over, counted from its first item."""

    async def main() -> tuple[list[int], float]:
        channel = Channel[int]("test", 8)
        sender, receiver = channel.sender(), channel.receiver()

        async def feed() -> None:
            for item in range(3):
                await asyncio.sleep(1.0)
                await sender.send(item)

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            batch = await receiver.receive_batch(4, linger_s=1.5)
            taken_at = asyncio.get_running_loop().time()
        return batch, taken_at

    assert run_virtual(main()) == ([0, 1], 2.5)


def test_full_batch_does_not_linger() -> None:
    """A batch that is full is handed out at once, even where the channel is smaller than the batch."""

    async def main() -> tuple[list[int], float]:
        channel = Channel[int]("test", 2)
        receiver = channel.receiver()
        async with asyncio.TaskGroup() as group:
            group.create_task(_send_all(channel.sender(), range(4)))
            batch = await receiver.receive_batch(4, linger_s=60.0)
            taken_at = asyncio.get_running_loop().time()
            rest = await receiver.receive_batch(4)
        return batch + rest, taken_at

    assert run_virtual(main()) == ([0, 1, 2, 3], 0.0)


def test_batch_ends_empty() -> None:
    """After the end a batch is empty."""

    async def main() -> list[int]:
        channel = Channel[int]("test", 2)
        receiver = channel.receiver()
        channel.sender().close()
        return await receiver.receive_batch(4, linger_s=1.0)

    assert run_virtual(main()) == []


def test_cancelled_batch_loses_nothing() -> None:
    """Items stay in the channel until a batch is taken whole."""

    async def main() -> list[int]:
        channel = Channel[int]("test", 8)
        sender, receiver = channel.sender(), channel.receiver()
        await sender.send(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await receiver.receive_batch(4, linger_s=10.0)
        return await receiver.receive_batch(4)

    assert run_virtual(main()) == [1]


def test_statistics_and_repr_tell_the_depth() -> None:
    """What waits, what passed, and who waits."""

    async def main() -> None:
        channel = Channel[int]("test", 2)
        sender, receiver = channel.sender(), channel.receiver()
        await sender.send(1)
        await sender.send(2)
        await receiver.receive()
        statistics = channel.statistics()
        assert (statistics.depth, statistics.peak, statistics.passed) == (1, 2, 1)
        assert repr(channel) == "<Channel test 1/2>"

    run_virtual(main())


def test_virtual_loop_reports_a_deadlock() -> None:
    """A receiver nobody will ever feed is an error in a test, not a hang."""

    async def main() -> None:
        channel = Channel[int]("test", 1)
        sender = channel.sender()
        await channel.receiver().receive()
        sender.close()

    with pytest.raises(DeadlockError):
        run_virtual(main())


async def _send_all(sender: Sender[int], items: Sequence[int]) -> None:
    with sender:
        for item in items:
            await sender.send(item)


@dataclass(frozen=True)
class Story:
    """Who sends how much, who reads, who is cancelled when, and how long everybody dawdles."""

    capacity: int
    sizes: list[int]
    num_receivers: int
    kills: list[tuple[int, float]]
    pauses: list[float]

    def pause_s(self, number: int) -> float:
        return self.pauses[number % len(self.pauses)]


STORIES = st.builds(
    Story,
    capacity=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    num_receivers=st.integers(1, 4),
    kills=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 5)), max_size=6),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=8),
)


async def _tell(story: Story) -> list[tuple[int, int]]:
    """Play a story and return what arrived, in order: (sender, item)."""
    channel = Channel[tuple[int, int]]("test", story.capacity)
    receiver, got = channel.receiver(), list[tuple[int, int]]()

    async def send(sender: Sender[tuple[int, int]], number: int) -> None:
        with sender:
            for item in range(story.sizes[number]):
                await asyncio.sleep(story.pause_s(number + item))
                await sender.send((number, item))
                assert channel.statistics().depth <= story.capacity

    async def receive(number: int) -> None:
        with contextlib.suppress(EndOfChannelError):
            while True:
                await asyncio.sleep(story.pause_s(number))
                got.append(await receiver.receive())

    async def kill_and_replace(number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        readers[number % story.num_receivers].cancel()
        group.create_task(receive(number))

    async with asyncio.TaskGroup() as group:
        for number in range(len(story.sizes)):
            group.create_task(send(channel.sender(), number))
        readers = [group.create_task(receive(number)) for number in range(story.num_receivers)]
        for number, after_s in story.kills:
            group.create_task(kill_and_replace(number, after_s))
    return got


@given(STORIES)
def test_nothing_is_lost_or_doubled(story: Story) -> None:
    """Whoever is cancelled at whatever moment, each item arrives once, and never more than capacity wait."""
    expected = [(number, item) for number, size in enumerate(story.sizes) for item in range(size)]
    assert sorted(run_virtual(_tell(story))) == expected


@given(STORIES)
def test_items_of_one_sender_keep_their_order(story: Story) -> None:
    """A single reader sees each sender's items in the order in which they were sent."""
    got = run_virtual(_tell(replace(story, num_receivers=1, kills=[])))
    for number, size in enumerate(story.sizes):
        assert [item for sender, item in got if sender == number] == list(range(size))
