import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import Plan, Seed, Settled
from star_agents.pipeline.channel import Channel
from star_agents.pipeline.marks import Judged, Marked, Scored, join
from tests.loops import run_virtual


@given(orders=st.permutations([(number, kind) for number in range(4) for kind in (Scored, Judged)]))
def test_each_seed_leaves_once_both_have_spoken(orders: Sequence[tuple[int, type[Scored] | type[Judged]]]) -> None:
    """Whatever order marks come in, each seed comes out once, right after its second mark."""

    async def main() -> list[int]:
        marks, marked = Channel[Scored | Judged]("marks", 8), Channel[Marked]("marked", 8)
        sender, receiver, joined, out = marks.sender(), marks.receiver(), marked.sender(), marked.receiver()
        for number, kind in orders:
            await sender.send(kind(Settled(Plan(Seed(number, "ask"), (), 0), ()), {}))
        sender.close()
        async with asyncio.TaskGroup() as group:
            group.create_task(join(receiver, joined)).add_done_callback(lambda _: joined.close())
            return [item.settled.plan.seed.number async for item in out]

    numbers = [number for number, _ in orders]
    assert run_virtual(main()) == [number for place, number in enumerate(numbers) if number in numbers[:place]]
