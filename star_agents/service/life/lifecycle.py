"""The life of a run: start, work, drain, end; and what each signal does to it.

The first SIGINT or SIGTERM stops intake and drains: what is planned is finished within `drain_s`, then
calls to models are cut, and what is complete is still scored and learnt. A second signal leaves at once: nothing
acknowledged is lost, because nothing is acknowledged before it is durable. Where the budget ends, intake stops
first; when not even a call that is waited for can be paid any more, what waits is cut and stays open.

A signal is an order as any other, on record before it takes effect; but a stop never hangs on a disk: after
`SIGNAL_PATIENCE_S` it takes effect without. The second signal asks nobody.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from star_agents.core import clock
from star_agents.core.errors import StoreError
from star_agents.endpoints.servers import orphans
from star_agents.service.api import server
from star_agents.service.api.control import Control, Levers
from star_agents.service.life.vitals import OVERRUN_S, Vitals
from star_agents.service.run.address import Address
from star_agents.service.run.assembly import assembled
from star_agents.service.run.causes import leading
from star_agents.service.run.collector import rare_collections
from star_agents.service.run.ended import write_ended
from star_agents.service.run.engine import Engine
from star_agents.service.run.intake import Intake
from star_agents.service.run.job import Job
from star_agents.service.run.picture import RateMeter, picture
from star_agents.service.run.room_watch import watch_room
from star_agents.service.run.timeline import TIMELINE_FILE, Timeline
from star_agents.service.view.bill import out_of_budget
from star_agents.service.view.status import Ending, Phase, RunStatus
from star_agents.storage.commands import Order, Verb
from star_agents.storage.dead_letters import FailureKind
from star_agents.storage.export import Exported
from star_agents.storage.room import Room

WATCH_S = 0.5
"""How often the rate and the spending are looked at."""

SIGNAL_PATIENCE_S = 0.1
"""How long a signal waits to be on record."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)

Observer = Callable[[Callable[[], RunStatus]], Coroutine[Any, Any, None]]
"""Draws or logs the run until it is cancelled; it is handed the way to take a snapshot."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a start came to; `exported` is None where it was stopped before it began."""

    ending: Ending
    status: RunStatus
    exported: Exported | None = None
    failures: tuple[FailureKind, ...] = ()
    """Calls that failed for good, over all starts."""


class Lifecycle:
    """Runs one job once. The caller holds the lock of its folder."""

    def __init__(
        self, job: Job, *, before_leaving: Callable[[], object] = lambda: None, takes_signals: bool = True
    ) -> None:
        """`takes_signals`: the process is this run's alone, and its signals are for the run."""
        self._job = job
        self._takes_signals = takes_signals
        self._before_leaving = before_leaving
        self._phase = Phase.STARTING
        self._message = ""
        self._vitals = Vitals(job.folder.logs, job.environ, takes_signals=takes_signals)
        self._began_at = 0.0
        self._starting: asyncio.Task[Any] | None = None
        self._engine: Engine | None = None
        self._ending: Ending | None = None
        self._ended: Ending | None = None
        self._was_signalled = False
        self._signals_to_obey = asyncio.Queue[signal.Signals]()
        self._is_room_low = False
        self._rate = RateMeter()
        self._seeds_per_s = 0.0
        self._page: str | None = None
        self._timeline = Timeline(job.folder.path / TIMELINE_FILE)

    async def run(self, observe: Observer) -> Result:
        """Run to the end, drawing with `observe` all the while.

        Raises:
            StarError: the run cannot start, or cannot go on.
            ExceptionGroup: a part failed in a way that nobody foresaw.
        """
        self._began_at = clock.now()
        try:
            with self._signals(), rare_collections():
                async with self._vitals.taken(), asyncio.TaskGroup() as group:
                    observer = group.create_task(observe(self.status), name="observe")
                    try:
                        return await self._live()
                    finally:
                        observer.cancel()
        except ExceptionGroup as failures:
            raise leading(failures) from failures

    async def _live(self) -> Result:
        """Start, work and export; a stop during the start is an ending too."""
        self._starting = asyncio.current_task()
        try:
            await asyncio.to_thread(self._timeline.load)
            async with self._served() as address, assembled(self._job, self._report) as engine:
                self._starting, self._engine, self._page = None, engine, address.page()
                return await self._work(engine)
        except asyncio.CancelledError:
            if self._starting is None or self._ending is not Ending.STOPPED:
                raise
            self._starting.uncancel()
            return Result(Ending.STOPPED, self.status())

    def _served(self) -> contextlib.AbstractAsyncContextManager[Address]:
        section, job = self._job.settings.service, self._job
        place = server.Place(
            host=section.host,
            port=section.port,
            run_dir=job.folder.path,
            metrics=section.metrics,
            environ=job.environ,
        )
        levers = Levers(
            status=self.status,
            engine=lambda: self._engine,
            move=self._move,
            health=self._vitals.health,
            timeline=self._timeline.after,
            wal=job.folder.database.with_name(f"{job.folder.database.name}-wal"),
        )
        return server.serve(place, Control(levers))

    def _move(self, phase: Phase) -> None:
        """What somebody outside asks for; only of a run that has begun."""
        assert self._engine is not None  # noqa: S101  # Control sees to it
        if phase is Phase.DRAINING:
            self._stop(self._engine)
        else:
            self._phase = phase
            self._hold(self._engine)

    def _hold(self, engine: Engine) -> None:
        """Nothing new is begun while somebody wants it so, or the disk is nearly full."""
        engine.board.hold(is_held=self._phase is Phase.PAUSED or self._is_room_low)

    async def _work(self, engine: Engine) -> Result:
        self._phase = Phase.RUNNING
        if self._page is not None:
            log.info("page: %s (star-agents page %s prints it with its token)", self._page, self._job.folder.path)
        self._report(f"running: {engine.seeds_total - engine.seeds_done} seeds to go")
        self._vitals.notifier.ready(self._message)
        async with asyncio.TaskGroup() as group:
            kept_up = (replicas.supervise(engine.fleet.gates(replicas.name)) for replicas in engine.servers)
            room = watch_room(self._job.folder.path, lambda room: self._on_room(engine, room))
            looks = (self._watch(engine), self._watch_purse(engine), self._timeline.keep(self.status))
            own = (*looks, self._obey_signals(engine), room)
            watches = [*own, engine.keep_store_small(), engine.sizer.run(), *kept_up]
            if engine.follower is not None:
                watches.append(engine.follower.run())
            watchers = [group.create_task(watch, name="watch") for watch in watches]
            await engine.run()
            for watcher in watchers:
                watcher.cancel()
        self._ended = ending = self._ending or _ending_of(engine.intake)
        self._phase = Phase.FINISHED
        exported = await engine.export()
        await engine.look_up_spend()
        await self._timeline.note(self.status())
        if ending is Ending.BUDGET:
            self._report(out_of_budget(engine.purse.budget))
        await asyncio.to_thread(write_ended, self._job.folder.path, ending)
        return Result(ending, self.status(), exported, await engine.failures())

    async def _watch(self, engine: Engine) -> None:
        while True:
            self._seeds_per_s = self._rate.update(clock.now(), engine.seeds_done)
            await engine.look_up_spend()
            await asyncio.sleep(WATCH_S)

    def _on_room(self, engine: Engine, room: Room) -> None:
        """Little room on the disk: nothing new is begun. None: the run ends in good order, while it can."""
        log.warning("%s: room on its disk: %s", self._job.folder.path, room)
        self._is_room_low = room is Room.LOW
        self._hold(engine)
        if room is Room.NONE:
            self._stop(engine)

    async def _watch_purse(self, engine: Engine) -> None:
        """When no call may go out any more, there is nothing to wait for: those that wait stay open in the store."""
        while not engine.purse.exhausted.is_set():  # it may have been raised in the same breath
            await engine.purse.exhausted.wait()
        self._ending = self._ending or Ending.BUDGET
        self._phase = Phase.DRAINING
        engine.graph.cut()

    def status(self) -> RunStatus:
        """A snapshot, at any moment of the run's life."""
        shown = picture(
            self._job.settings.run.name,
            self._engine,
            phase=self._phase,
            message=self._message,
            elapsed_s=clock.now() - self._began_at,
            seeds_per_s=self._seeds_per_s,
        )
        return replace(shown, ending=self._ended, page=self._page)

    def _report(self, message: str) -> None:
        self._message = message
        self._vitals.notifier.status(message)
        log.info("%s", message)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if not self._takes_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if self._was_signalled:
            self._leave(number)
        self._was_signalled = True
        log.warning("%s: stopping cleanly; once more leaves at once", signal.Signals(number).name)
        if self._engine is not None:
            self._signals_to_obey.put_nowait(signal.Signals(number))
        elif self._starting is not None:
            self._ending = Ending.STOPPED
            self._starting.cancel()

    async def _obey_signals(self, engine: Engine) -> None:
        """Drain when a signal says so; ends only by being cancelled."""

        async def act(_: int) -> None:
            self._stop(engine)

        while True:
            told = await self._signals_to_obey.get()
            asyncio.get_running_loop().call_later(SIGNAL_PATIENCE_S, self._stop, engine)
            with contextlib.suppress(StoreError):  # then the run ends anyway, and says why
                await engine.orders.obey(Order(verb=Verb.DRAIN, actor=f"signal:{told.name}"), act)

    def _stop(self, engine: Engine) -> None:
        """Drain on request, once: whoever asks again changes nothing, the deadline least of all."""
        if self._ending is not Ending.STOPPED and self._ended is None:
            self._drain(engine, Ending.STOPPED)

    def _drain(self, engine: Engine, ending: Ending) -> None:
        self._ending = ending
        drain_s = self._job.settings.service.drain_s
        self._phase = Phase.DRAINING
        self._report(f"draining ({ending}): finishing what is planned, for at most {drain_s:g} s")
        self._vitals.notifier.stopping()
        engine.graph.drain()
        loop = asyncio.get_running_loop()
        loop.call_later(drain_s, engine.graph.cut)
        loop.call_later(drain_s + OVERRUN_S, self._look_at_overrun)

    def _look_at_overrun(self) -> None:
        """A stop that hangs leaves behind what it hangs on."""
        if self._phase is Phase.DRAINING:
            self._vitals.dump(f"draining for more than {OVERRUN_S:g} s longer than it may take")

    def _leave(self, number: int) -> None:
        """Leave at once. Scorers end with their pipes, model servers are killed, and the store is always whole."""
        orphans.sweep(self._job.folder.path, grace_s=0.0)
        self._before_leaving()
        os._exit(128 + number)


def _ending_of(intake: Intake) -> Ending:
    """Why a run ended that nobody stopped."""
    if intake.is_out_of_budget:
        return Ending.BUDGET
    return Ending.LIMIT if intake.is_limited else Ending.COMPLETE
