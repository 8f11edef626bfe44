"""What is on record of an order: no secret, nothing endless; done once, and what a crash left is closed by name."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from star_agents.core.errors import ConfigError, NotNowError, StoreError
from star_agents.core.secret import Mask, Secret
from star_agents.service.run.inbox import Fed, Inbox
from star_agents.service.run.orders import MAX_BODY_BYTES, SHOWN, VOID, Orders, settle_left
from star_agents.service.view.order_line import order_line
from star_agents.storage import commands
from star_agents.storage.commands import Command, Order, Outcome, Verb, read_begun, read_commands, read_newest
from star_agents.storage.integrity import problems
from star_agents.storage.store import RunStore
from tests.fakes.store import MemoryStore
from tests.loops import run_real, run_virtual
from tests.storage.examples import MANIFEST

pytestmark = pytest.mark.fault("F-89")

KEY = "correct-horse-battery-staple"
MASK = Mask([Secret(KEY, origin="env:X")])
PAUSE = Order(verb=Verb.PAUSE, actor="test")


async def nothing(_: int) -> str:
    return "paused"


def refusing(error: Exception) -> Callable[[int], Awaitable[object]]:
    async def act(_: int) -> object:
        raise error

    return act


def test_an_order_is_on_record_before_and_after() -> None:
    """First under way, with the number that the act is told; then with what it came to, or why not."""
    store = MemoryStore()
    orders = Orders(store, MASK)

    async def act(number: int) -> int:
        assert store.commands[number].outcome is Outcome.BEGUN
        return 7

    async def main() -> None:
        assert await orders.obey(PAUSE, act) == 7
        with pytest.raises(ConfigError):
            await orders.obey(replace(PAUSE, verb=Verb.RETUNE), refusing(ConfigError("one", "two")))
        with pytest.raises(NotNowError):
            await orders.obey(replace(PAUSE, verb=Verb.DRAIN), refusing(NotNowError("draining")))

    run_virtual(main())
    found = [(one.outcome, one.answer) for one in store.commands.values()]
    assert found == [(Outcome.DONE, 7), (Outcome.REFUSED, ["one", "two"]), (Outcome.REFUSED, ["draining"])]
    assert [one.id for one in orders.recent] == [3, 2, 1]


def test_nothing_is_done_that_cannot_be_put_on_record() -> None:
    """The store is gone: the order fails, and was not begun."""
    orders = Orders(MemoryStore(fail_at=1), MASK)
    done: list[int] = []

    async def act(number: int) -> None:
        done.append(number)

    async def main() -> None:
        with pytest.raises(StoreError):
            await orders.obey(PAUSE, act)

    run_virtual(main())
    assert not done


def test_a_key_is_done_once() -> None:
    """Sent again it is answered and not done; while it is under way, and with another order, it is refused."""
    store = MemoryStore()
    orders = Orders(store, MASK)
    keyed = replace(PAUSE, key="mine", body={"n": 1})
    done: list[int] = []
    may_end = asyncio.Event()

    async def act(number: int) -> str:
        done.append(number)
        await may_end.wait()
        return "paused"

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(orders.obey(keyed, act))
            await asyncio.sleep(1.0)
            with pytest.raises(NotNowError, match="order 1 has this Idempotency-Key and is under way"):
                await orders.obey(keyed, act)
            may_end.set()
        assert first.result() == await orders.obey(keyed, act) == "paused"
        for other in (replace(keyed, body={"n": 2}), replace(keyed, verb=Verb.DRAIN)):
            with pytest.raises(ConfigError, match=r"order 1 had it and was another \(pause\)"):
                await orders.obey(other, act)
        with pytest.raises(NotNowError):
            await orders.obey(replace(keyed, key="other"), refusing(NotNowError("not now")))
        assert await orders.obey(replace(keyed, key="other"), act) == "paused"

    run_virtual(main())
    assert done == [1, 3]


def test_no_secret_is_on_record_and_nothing_endless(tmp_path: Path) -> None:
    """In bodies, keys and reasons, in the file as it lies on the disk; of what is long there is the beginning."""

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            orders = Orders(store, MASK)
            body = {"values": {f"endpoints.{KEY}": KEY, "x": [f"Bearer {KEY}x", 1, None]}}
            error = ConfigError(*[f"{KEY} is no limit"] * 50, "y" * 9999)
            with pytest.raises(ConfigError):
                await orders.obey(Order(verb=Verb.RETUNE, actor="a", body=body, key=KEY), refusing(error))
            await orders.obey(replace(PAUSE, body={"long": [KEY] * 99_999}), nothing)

    run_real(main())
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.iterdir())
    first, second = read_commands(tmp_path / "run.db")
    assert first.body == {"values": {"endpoints.***": "***", "x": ["Bearer ***x", 1, None]}}
    assert (first.key, len(first.answer)) == ("***", 10)
    assert len(orjson.dumps(second.body)) < MAX_BODY_BYTES
    assert second.body["bytes"] > MAX_BODY_BYTES
    assert KEY not in str([first, second, order_line(first), order_line(second)])


def test_what_a_crash_left_is_closed(tmp_path: Path) -> None:
    """Rows that are in the inbox were fed, whatever the order says; all else is void, and its key is free again."""
    inbox = Inbox(tmp_path / "inbox")
    inbox.open()
    rows = [{"instruction": "a"}, {"instruction": "b"}]

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            for verb in (Verb.PAUSE, Verb.SEEDS, Verb.SEEDS, Verb.AGENTS):
                await store.note(Order(verb=verb, actor="port:token", key=f"key {verb}" if verb != "seeds" else None))
            await asyncio.to_thread(inbox.append, Fed(rows, command=2))
            left = await asyncio.to_thread(read_begun, tmp_path / "run.db")
            assert [one.id for one in left] == [1, 2, 3, 4]
            await settle_left(store, left, inbox)
            assert not await asyncio.to_thread(read_begun, tmp_path / "run.db")
            assert (await store.note(Order(verb=Verb.PAUSE, actor="port:token", key="key pause"))).is_new

    run_real(main())
    found = {one.id: (one.outcome, one.answer) for one in read_commands(tmp_path / "run.db")}
    assert found[2] == (Outcome.DONE, 2)
    assert {number: found[number] for number in (1, 3, 4)} == dict.fromkeys((1, 3, 4), (Outcome.VOID, [VOID]))


def test_feedings_are_found_in_older_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several may have been taken in, over more than one file; those before are not looked for in vain."""
    monkeypatch.setattr("star_agents.service.run.inbox.SEGMENT_ROWS", 2)
    inbox = Inbox(tmp_path / "inbox")
    inbox.open()
    for command in (1, 2, 4, 5):
        inbox.append(Fed([{"instruction": "a"}, {"instruction": "b"}], command=command))
    inbox.append(Fed([{"instruction": "c"}], origin="followed", offset=9))
    assert inbox.fed_by({4, 5, 6}) == {4: 6, 5: 8}
    (tmp_path / "inbox" / f"{0:012}.jsonl").write_text("damaged, and of no concern\n")
    assert inbox.fed_by({5}) == {5: 8}


def test_orders_are_kept_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feeder that never rests does not push the pauses out."""
    monkeypatch.setattr(commands, "KEPT", 3)
    monkeypatch.setattr(commands, "PRUNE_EVERY", 1)

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            for number in range(12):
                verb = Verb.SEEDS if number else Verb.PAUSE
                command, _ = await store.note(Order(verb=verb, actor="test"))
                if number != 1:
                    await store.settle(command.id, Outcome.DONE, number)

    run_real(main())
    assert [(one.id, one.verb) for one in read_commands(tmp_path / "run.db")] == [
        (1, "pause"), (2, "seeds"), (10, "seeds"), (11, "seeds"), (12, "seeds")
    ]  # fmt: skip
    assert [one.id for one in read_commands(tmp_path / "run.db", after=2, limit=2)] == [10, 11]
    assert [one.id for one in read_newest(tmp_path / "run.db", limit=2)] == [12, 11]


def test_a_snapshot_shows_the_newest() -> None:
    """Those of earlier starts among them, newest first."""
    store = MemoryStore()
    earlier = [
        Command(id=number, at="", actor="signal:SIGTERM", verb=Verb.DRAIN, outcome=Outcome.VOID, body={})
        for number in (9, 8, 7)
    ]
    store.commands = {number: replace(earlier[0], id=number) for number in range(1, 10)}
    orders = Orders(store, MASK, earlier)

    async def main() -> None:
        for _ in range(3):
            await orders.obey(PAUSE, nothing)

    run_virtual(main())
    assert [one.id for one in orders.recent] == [12, 11, 10, 9, 8]
    assert len(orders.recent) == SHOWN


@pytest.mark.parametrize(
    ("verb", "body", "told"),
    [
        (Verb.PAUSE, {}, ""),
        (Verb.RETUNE, {"values": {"budget.usd": None, "endpoints.e.concurrency": 3}}, "budget.usd=None endpoints.e.c"),
        (Verb.AGENTS, {"add": ["hot"], "retire": ["a", "b"], "reason": "why"}, "add hot; retire a, b (why)"),
        (Verb.SEEDS, {"rows": 3, "sha256": "0"}, "3 rows"),
        (Verb.AGENTS, {"begins": '{"add"', "bytes": 9999, "sha256": "0"}, '{"add"'),
    ],
)
def test_an_order_is_told_in_a_line(verb: Verb, body: dict[str, Any], told: str) -> None:
    """What it was about; and of one that was not done, why."""
    done = Command(id=1, at="", actor="test", verb=verb, outcome=Outcome.DONE, body=body)
    assert order_line(done).told.startswith(told)
    refused = replace(done, outcome=Outcome.REFUSED, answer=["too late", "and more"])
    assert order_line(refused).told.endswith("too late")


@pytest.mark.fault("F-77")
def test_a_damaged_order_is_named(tmp_path: Path) -> None:
    """F-77: by reader and by `doctor`."""

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
            await store.note(PAUSE)

    run_real(main())
    connection = apsw.Connection(str(tmp_path / "run.db"))
    connection.execute("UPDATE command SET crc32 = crc32 + 1")
    connection.close()
    with pytest.raises(StoreError, match="command 1 is damaged"):
        read_commands(tmp_path / "run.db")
    assert list(problems(tmp_path / "run.db")) == ["command 1 is damaged"]
