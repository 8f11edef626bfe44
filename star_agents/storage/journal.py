"""What each method of the store writes. Plain functions of one connection, run inside the writer's transaction.

The order of a seed's life is assign, respond, learn; foreign keys refuse a reply or a result without its plan.
"""

import apsw

from star_agents.core.calls import Failure, Reply, Request
from star_agents.core.errors import StoreError
from star_agents.core.records import (
    AgentPair,
    Epoch,
    Graded,
    MemoryEntry,
    Plan,
    Update,
)
from star_agents.policy.epochs import pairs_after
from star_agents.storage import commands
from star_agents.storage.codec import Packer, checksum, float_bytes, sound
from star_agents.storage.commands import Noted, Order, Outcome
from star_agents.storage.failpoints import failpoint
from star_agents.storage.moving import move
from star_agents.storage.shards import Shard
from star_agents.storage.spending import booked

_REPLY = """
INSERT INTO reply (
    seed, purpose, slot, ordinal, ok,
    endpoint, model, agent, pair, reason,
    sends, input_tokens, output_tokens, reasoning_tokens, cached_tokens,
    wasted_input, wasted_output, estimated, crc32, body
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
"""The columns are named: in a database that was migrated they stand in another order."""


class Journal:
    """Writes records as rows. `pairs` is the pool as it is now, in the order that every weight vector must have."""

    def __init__(self, connection: apsw.Connection, pairs: tuple[AgentPair, ...]) -> None:
        self._connection = connection
        self._pairs = pairs
        self._packer = Packer()

    def assign(self, plan: Plan) -> None:
        """Insert a plan, which opens its seed."""
        body = self._packer.plan(plan)
        self._connection.execute(
            "INSERT INTO plan VALUES (?, ?, ?, ?, ?)",
            (plan.seed.number, plan.weights_version, checksum(body, plan.embedding), body, plan.embedding),
        )

    def respond(self, request: Request, reply: Reply) -> None:
        """Insert a reply; one that is there already stays as it is, and is not booked again."""
        key, (account, spend) = request.key, booked(request, reply)
        model, reason = ("", reply.reason) if isinstance(reply, Failure) else (sound(reply.model), "")
        body = self._packer.pack(reply)
        self._connection.execute(
            _REPLY,
            (
                *(key.seed, key.purpose.value, key.slot, key.ordinal, not spend.failures),
                *(account.endpoint, model, account.agent, account.pair, reason),
                *(spend.sends, spend.input_tokens, spend.output_tokens, spend.reasoning_tokens, spend.cached_tokens),
                *(spend.wasted_input, spend.wasted_output, spend.estimated, checksum(body), body),
            ),
        )

    def learn(self, update: Update) -> None:
        """Insert a batch, or a change of the pool, and the state it leads to. One that is there changes nothing.

        Raises:
            StoreError: some of its seeds were learnt before and some not, or its weights are of another pool.
        """
        if update.epoch is not None:
            if self._is_known(update.epoch):
                return
            self._pairs = pairs_after(self._pairs, update.epoch)
        if update.weights.pairs != self._pairs:
            raise StoreError("the weights to be stored are not of this run's pairs")
        if update.epoch is not None:
            self._change(update.epoch)
        learnt = sum(self._is_learnt(graded) for graded in update.graded)
        if learnt and learnt == len(update.graded):
            return
        if learnt:
            raise StoreError(f"{learnt} of {len(update.graded)} seeds were learnt before: they would count twice")
        self._log(update)
        failpoint("learn.logged")
        self._state(update)
        failpoint("learn.stated")
        for entry in update.entries:
            self._remember(entry)
        failpoint("learn.remembered")

    def move(self, shard: Shard, *, keep_entries: int) -> None:
        """List a shard whose files are durable, and take its rows out."""
        move(self._connection, shard, keep_entries=keep_entries)

    def note(self, order: Order, at: str) -> Noted:
        """Put an order on record; see `commands.note`."""
        return commands.note(self._connection, self._packer, order, at)

    def settle(self, number: int, outcome: Outcome, answer: object) -> None:
        """Write down what came of an order."""
        commands.settle(self._connection, self._packer, number, outcome, answer)

    def _is_known(self, epoch: Epoch) -> bool:
        return self._connection.execute("SELECT 1 FROM epoch WHERE version = ?", (epoch.version,)).get is not None

    def _change(self, epoch: Epoch) -> None:
        body = self._packer.pack(epoch)
        row = (epoch.version, self._applied_seq(), checksum(body), body)
        self._connection.execute("INSERT INTO epoch VALUES (?, ?, ?, ?)", row)
        if epoch.command is not None:  # the change and that it was made are one: no crash comes between
            self.settle(epoch.command, Outcome.DONE, epoch.version)

    def _applied_seq(self) -> int:
        return int(self._connection.execute("SELECT ifnull(max(seq), 0) FROM log").get)

    def _is_learnt(self, graded: Graded) -> bool:
        number = graded.settled.plan.seed.number
        return self._connection.execute("SELECT 1 FROM log WHERE seed = ?", (number,)).get is not None

    def _log(self, update: Update) -> None:
        batch = self._connection.execute("SELECT ifnull((SELECT batch FROM log ORDER BY seq DESC LIMIT 1), 0) + 1").get
        for graded in update.graded:
            body = self._packer.graded(graded)
            selection = graded.selection
            self._connection.execute(
                "INSERT INTO log (seed, batch, version, source, slot, pi, reason, crc32, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    graded.settled.plan.seed.number,
                    batch,
                    update.weights.version,
                    selection.source.value,
                    selection.slot,
                    selection.pi,
                    None if selection.reason is None else sound(selection.reason),
                    checksum(body),
                    body,
                ),
            )

    def _state(self, update: Update) -> None:
        applied_seq = self._applied_seq()
        p, state = float_bytes(update.weights.p), float_bytes(update.weights.state)
        self._connection.execute(
            "INSERT OR REPLACE INTO policy (version, applied_seq, crc32, p, state) VALUES (?, ?, ?, ?, ?)",
            (update.weights.version, applied_seq, checksum(p, state), p, state),
        )
        body = self._packer.pack(update.tally)
        self._connection.execute(
            "INSERT OR REPLACE INTO tally VALUES (1, ?, ?, ?)", (applied_seq, checksum(body), body)
        )

    def _remember(self, entry: MemoryEntry) -> None:
        self._connection.execute(
            "INSERT INTO bank (seed, instruction, response, pi, crc32, embedding) VALUES (?, ?, ?, ?, ?, ?)",
            (
                entry.seed,
                entry.pair.instruction,
                entry.pair.response,
                entry.pi,
                checksum(entry.embedding),
                entry.embedding,
            ),
        )
