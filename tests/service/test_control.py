"""Orders to a run may come in any order, twice, and from several sides: it is always in one phase that makes sense."""

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError, NotNowError
from star_agents.core.records import AgentPair, PairWeights
from star_agents.core.secret import Mask
from star_agents.pipeline.board import Board
from star_agents.policy.memory import MemoryBank
from star_agents.service.api.control import Control, Levers
from star_agents.service.changes.retune import retuned
from star_agents.service.life.lifecycle import Lifecycle
from star_agents.service.life.vitals import Vitals
from star_agents.service.run.orders import Asker, Orders
from star_agents.service.view.status import Phase
from star_agents.storage.commands import Outcome
from star_agents.storage.room import Room
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual
from tests.service.configs import SOUND, spoiled
from tests.service.test_pool_request import cast

ME = Asker("test")
ORDERS = st.lists(st.sampled_from(["pause", "resume", "drain", "signal", "wait"]), max_size=12)


@dataclass
class Graph:
    """Counts what it is told."""

    drains: int = 0
    cuts: int = 0
    cut_at: list[float] = field(default_factory=list)

    def drain(self) -> None:
        self.drains += 1

    def cut(self) -> None:
        self.cuts += 1
        self.cut_at.append(asyncio.get_running_loop().time())


def begun(folder: Path, store: MemoryStore | None = None) -> tuple[Lifecycle, Any, Control]:
    """The life of a run that has begun, with a real board and nothing else; and what steers it."""
    settings = cast(SOUND).settings
    job: Any = SimpleNamespace(settings=settings, folder=SimpleNamespace(path=folder, logs=folder), environ={})
    life = Lifecycle(job)
    board = Board(PairWeights(0, (AgentPair("keep", "a"),), (1.0,)), MemoryBank(9, 1, 0.5), max_in_flight=1)
    engine: Any = SimpleNamespace(board=board, graph=Graph(), orders=Orders(store or MemoryStore(), Mask()))
    life._engine, life._phase = engine, Phase.RUNNING
    state: Any = SimpleNamespace
    levers = Levers(
        status=lambda: state(phase=life._phase),
        engine=lambda: engine,
        move=life._move,
        health=Vitals(folder, {}).health,
    )
    return life, engine, Control(levers)


def phase_of(life: Lifecycle) -> Phase:
    return life._phase


@pytest.mark.fault("F-89")
@given(orders=ORDERS)
def test_orders_may_come_in_any_order(tmp_path_factory: pytest.TempPathFactory, orders: list[str]) -> None:
    """Who drains once drains for good, cut once and at the first deadline; paused is held, and nothing else is.

    Whatever took effect is on record, in the order in which it did, and nothing is left under way.
    """
    folder = tmp_path_factory.getbasetemp()

    async def main() -> None:
        store = MemoryStore()
        life, engine, control = begun(folder, store)
        async with asyncio.TaskGroup() as group:
            obeying = group.create_task(life._obey_signals(engine))
            done = await steer(life, engine, control, orders)
            obeying.cancel()
        assert [(one.verb, one.actor) for one in store.commands.values()] == done
        assert {one.outcome for one in store.commands.values()} <= {Outcome.DONE}

    async def steer(life: Lifecycle, engine: Any, control: Control, orders: list[str]) -> list[tuple[str, str]]:  # noqa: ANN401
        done: list[tuple[str, str]] = []
        left: list[int] = []
        dumps: list[str] = []
        life._leave = left.append  # type: ignore[method-assign,assignment]  # it ends the process
        life._vitals.dump = dumps.append  # type: ignore[method-assign,assignment]  # it needs a thread
        signals = 0
        drained_at: float | None = None
        for order in orders:
            is_draining = life._phase is Phase.DRAINING
            if order == "wait":
                await asyncio.sleep(7.0)
            elif order == "signal":
                life._on_signal(signal.SIGTERM)
                signals += 1
                done.append(("drain", "signal:SIGTERM"))  # also of the second, which here ends nothing
                for _ in range(9):  # a moment, in which no time passes
                    await asyncio.sleep(0)
            elif is_draining and order != "drain":
                with pytest.raises(NotNowError, match="the run is draining"):
                    await getattr(control, order)(ME)
            else:
                wanted = {"pause": Phase.PAUSED, "resume": Phase.RUNNING, "drain": Phase.DRAINING}
                assert await getattr(control, order)(ME) is wanted[order]
                done.append((order, ME.actor))
            if life._phase is Phase.DRAINING and drained_at is None:
                drained_at = asyncio.get_running_loop().time()
            assert not (is_draining and life._phase is not Phase.DRAINING)
            assert engine.graph.drains == (drained_at is not None)
            if life._phase is not Phase.DRAINING:
                assert engine.board._is_held == (life._phase is Phase.PAUSED)
        await asyncio.sleep(70.0)
        assert len(dumps) == (drained_at is not None)  # nothing here ends, so this drain takes too long
        assert engine.graph.cuts == (drained_at is not None)
        assert drained_at is None or engine.graph.cut_at == [pytest.approx(drained_at + 30.0)]
        assert len(left) == max(0, signals - 1)
        return done

    run_virtual(main())


def test_a_paused_board_lets_nobody_in() -> None:
    """Those in flight go on; when it is let go, who waited enters."""

    async def main() -> None:
        board = Board(PairWeights(0, (AgentPair("keep", "a"),), (1.0,)), MemoryBank(9, 1, 0.5), max_in_flight=2)
        await board.enter()
        board.hold(is_held=True)
        async with asyncio.TaskGroup() as group:
            entering = group.create_task(board.enter())
            await asyncio.sleep(5.0)
            board.resize(10)
            await asyncio.sleep(5.0)
            assert not entering.done()
            assert board.in_flight == 1
            board.hold(is_held=False)
        assert board.in_flight == 2

    run_virtual(main())


def test_a_full_disk_is_not_resumed_by_hand(tmp_path: Path) -> None:
    """While there is little room nothing is begun, whatever is ordered; with room again, what was ordered holds."""

    async def main() -> None:
        life, engine, control = begun(tmp_path)
        life._on_room(engine, Room.LOW)
        await control.pause(ME)
        await control.resume(ME)
        assert engine.board._is_held
        life._on_room(engine, Room.ENOUGH)
        assert not engine.board._is_held
        await control.pause(ME)
        life._on_room(engine, Room.LOW)
        life._on_room(engine, Room.ENOUGH)
        assert engine.board._is_held

    run_virtual(main())


@pytest.mark.fault("F-89")
def test_f89_nothing_takes_effect_before_it_is_on_record(tmp_path: Path) -> None:
    """F-89: while the store holds an order back the run goes on as it was; two orders are done as they are numbered."""

    async def main() -> None:
        store = MemoryStore()
        life, _, control = begun(tmp_path, store)
        barrier = store.hold("note")
        async with asyncio.TaskGroup() as group:
            group.create_task(control.pause(ME))
            group.create_task(control.drain(ME))
            group.create_task(control.resume(ME))
            await asyncio.sleep(5.0)
            assert phase_of(life) is Phase.RUNNING
            barrier.open()
            with pytest.raises(NotNowError, match="the run is draining"):
                await control.pause(ME)
        assert phase_of(life) is Phase.DRAINING

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    assert [str(error).partition(":")[0] for error in caught.value.exceptions] == ["the run is draining"]


@pytest.mark.fault("F-89", "F-75")
@pytest.mark.parametrize("is_broken", [False, True], ids=["stuck", "broken"])
def test_f89_a_stop_never_hangs_on_a_disk(tmp_path: Path, is_broken: bool) -> None:  # a parameter
    """F-89, F-75: a signal waits 0.1 s to be on record; where the store is stuck or gone, it stops the run then."""

    async def main() -> None:
        store = MemoryStore(fail_at=1 if is_broken else None)
        life, engine, _ = begun(tmp_path, store)
        store.hold("note")
        async with asyncio.TaskGroup() as group:
            obeying = group.create_task(life._obey_signals(engine))
            life._on_signal(signal.SIGTERM)
            await asyncio.sleep(0.09)
            assert phase_of(life) is Phase.RUNNING
            await asyncio.sleep(0.02)
            assert phase_of(life) is Phase.DRAINING
            obeying.cancel()

    run_virtual(main())


def test_before_and_after_a_run_there_is_nothing_to_steer(tmp_path: Path) -> None:
    """Each verb says which phase the run is in."""

    async def main() -> None:
        store = MemoryStore()
        life, _, control = begun(tmp_path, store)
        for phase in (Phase.STARTING, Phase.FINISHED):
            life._phase = phase
            for verb in (control.pause, control.resume, control.drain):
                with pytest.raises(NotNowError, match=f"the run is {phase}"):
                    await verb(ME)
            with pytest.raises(NotNowError, match=f"the run is {phase}"):
                control.cast()
        assert not store.commands

    run_virtual(main())


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"endpoints.local.model": "x"}, "endpoints.local.model: cannot be set while a run runs"),
        ({"endpoints.locl.concurrency": 3}, "endpoints.locl.concurrency: no endpoint locl; there are: local"),
        ({"endpoints.local.concurrency": None}, "endpoints.local.concurrency: give a number"),
        ({"endpoints.local.concurrency": 0}, "endpoints.local.concurrency: Input should be greater than 0"),
        ({"endpoints.local.requests_per_minute": "many"}, "endpoints.local.requests_per_minute: Input should be"),
        ({"budget.usd": -1.0}, "budget.usd: Input should be greater than 0"),
        ({"budget.usd": 5.0}, "endpoints.local: a dollar budget needs a price here"),
        ({"run.seed": 3}, "run.seed: cannot be set while a run runs"),
    ],
)
def test_what_cannot_be_set_is_told(values: dict[str, Any], problem: str) -> None:
    """Checked as a config is, before anything of it is done."""
    with pytest.raises(ConfigError) as caught:
        retuned(cast(SOUND).settings, values)
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_limits_are_set_and_taken_away() -> None:
    """Nothing else of the settings changes."""
    before = cast(spoiled("endpoints.local.requests_per_minute", 60)).settings
    values = {"endpoints.local.requests_per_minute": None, "endpoints.local.concurrency": 7, "budget.tokens": 1000}
    after = retuned(before, values)
    assert after.endpoints["local"].requests_per_minute is None
    assert (after.endpoints["local"].concurrency, after.budget.tokens) == (7, 1000)
    assert retuned(after, {"endpoints.local.requests_per_minute": 60}).run == before.run
