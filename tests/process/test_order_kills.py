"""Kills at every step of an order's life: no effect without a record before it, no answer without an outcome."""

import asyncio
from pathlib import Path

import pytest

from bench.crash.kills import forkserver
from bench.crash.small_run import Ledger
from star_agents.core.secret import Mask
from star_agents.service.run.inbox import Inbox
from star_agents.service.run.orders import Orders, settle_left
from star_agents.storage import failpoints
from star_agents.storage.commands import Order, Outcome, Verb, read_begun, read_commands
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST

pytestmark = [pytest.mark.fault("F-89", "F-64"), pytest.mark.timeout(120)]

POINTS = ("commit.before", "commit.writing", "commit.written", "commit.done", "commit.told")
NUM_ORDERS = 12
VERBS = (Verb.PAUSE, Verb.RESUME)


async def _order(path: Path, *, effect_first: bool) -> None:
    """Order this and that; what took effect (E) and was answered (A) is told to a file that outlives the process."""
    ledger = Ledger(path.with_suffix(".ledger"))
    async with await RunStore.open(path, MANIFEST) as store:
        orders = Orders(store, Mask())

        async def one(number: int) -> None:
            if effect_first:
                ledger.tell("E", f"order-{number}")

            async def act(_: int) -> int:
                ledger.tell("E", f"order-{number}")
                await asyncio.sleep(0)
                return number

            await orders.obey(Order(verb=VERBS[number % 2], actor="test", key=f"order-{number}"), act)
            ledger.tell("A", f"order-{number}")

        for first in range(0, NUM_ORDERS, 3):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + 3):
                    group.create_task(one(number))


def _child(path: str, point: str, effect_first: bool) -> None:  # positional over a fork
    failpoints.arm(point)
    run_real(_order(Path(path), effect_first=effect_first))


def killed(path: Path, point: str, *, effect_first: bool = False) -> list[str]:
    """Kill a start at a point; returns what is wrong then."""
    process = forkserver().Process(target=_child, args=(str(path), point, effect_first))
    process.start()
    process.join()
    assert process.exitcode == -9
    found = {one.key: one.outcome for one in read_commands(path)}
    lines = Ledger(path.with_suffix(".ledger")).lines()
    problems = [f"{key} took effect without a record" for what, key in lines if what == "E" and key not in found]
    answered = [key for what, key in lines if what == "A"]
    return problems + [f"{key} was answered: {found.get(key)}" for key in answered if found.get(key) != Outcome.DONE]


@pytest.mark.parametrize("point", [*POINTS, "command.noted", "command.obeyed"])
@pytest.mark.parametrize("times", [1, 4])
def test_f89_a_kill_at_any_step(tmp_path: Path, point: str, times: int) -> None:
    """F-89, F-64: what took effect is on record, what was answered is done, and the next start leaves nothing open."""
    path = tmp_path / "run.db"
    assert not killed(path, f"{point}:{times}")

    async def go_on() -> None:
        async with await RunStore.open(path, MANIFEST) as store:
            before = await asyncio.to_thread(read_commands, path)
            await settle_left(store, await asyncio.to_thread(read_begun, path), Inbox(tmp_path / "inbox"))
            after = await asyncio.to_thread(read_commands, path)
            assert not await asyncio.to_thread(read_begun, path)
            assert [one for one in before if one.outcome is not Outcome.BEGUN] == [
                one for one in after if one.outcome is not Outcome.VOID
            ]

    run_real(go_on())


def test_an_effect_before_its_record_is_found(tmp_path: Path) -> None:
    """The harness has teeth."""
    assert killed(tmp_path / "run.db", "commit.writing:2", effect_first=True)
