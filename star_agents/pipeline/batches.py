"""Finished seeds into batches, as the board's cadence has them (`pipeline.cadence`).

Law: every seed leaves in exactly one batch. By arrival a batch waits for the seeds that would be too old without
it, and takes in what comes meanwhile. In order, batches are the seeds as they were planned, `batch_size` at a time;
what comes before its turn waits here, at most the seeds in flight. At the end of the input what is there leaves: in
order up to the first seed that did not come, and whatever was planned after that stays open in the store.
"""

from star_agents.pipeline.board import Board
from star_agents.pipeline.channel import EndOfChannelError, Receiver
from star_agents.pipeline.marks import Marked


class Batches:
    """Forms batches from the only reading end of a channel."""

    def __init__(self, marked: Receiver[Marked], board: Board) -> None:
        self._marked = marked
        self._board = board
        self._early: dict[int, Marked] = {}  # by place
        self._next_place = 0

    async def next(self) -> list[Marked]:
        """Return the next batch; an empty one means the end."""
        return await (self._in_order() if self._board.cadence.in_order else self._by_arrival())

    async def _by_arrival(self) -> list[Marked]:
        cadence = self._board.cadence
        batch = await self._marked.receive_batch(cadence.batch_size, linger_s=cadence.linger_s)
        for marked in batch:
            self._meet(marked)
        while batch and self._board.is_overdue:
            late = await self._receive()
            if late is None:
                break
            batch.append(late)
        return batch

    async def _in_order(self) -> list[Marked]:
        batch: list[Marked] = []
        while len(batch) < self._board.cadence.batch_size:
            if self._next_place in self._early:
                batch.append(self._early.pop(self._next_place))
                self._next_place += 1
            elif await self._receive() is None:
                break
        return batch

    async def _receive(self) -> Marked | None:
        """The next seed, taken note of; None at the end."""
        try:
            marked = await self._marked.receive()
        except EndOfChannelError:
            return None
        self._meet(marked)
        return marked

    def _meet(self, marked: Marked) -> None:
        place = self._board.meet(marked.settled.plan.seed.number)
        if self._board.cadence.in_order:
            self._early[place] = marked
