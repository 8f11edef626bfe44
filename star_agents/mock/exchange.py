"""One request for a completion, from its arrival to its end.

Law: every exchange ends exactly once, as `reply` (handed over, or as much as the fault let through) or as `gone`
(the client left first); whatever it held in the engine is given back then.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from star_agents.core import clock
from star_agents.mock.answers import answer, chance_of, fingerprint, lognormal
from star_agents.mock.backend import Backend
from star_agents.mock.catalogue.status import LIMITED
from star_agents.mock.connection import Connection
from star_agents.mock.dialect import Dialect
from star_agents.mock.engine import Job
from star_agents.mock.http import JSON_HEAD
from star_agents.mock.journal import Entry, What
from star_agents.mock.limits import Cost
from star_agents.mock.reply import NO_FAULT, Told, body_bytes, is_plain, parts_of
from star_agents.mock.script import Seen


class Exchange:
    """See the module. `begin` once; the rest happens by itself."""

    __slots__ = ("_backend", "_began_at", "_connection", "_is_over", "_job", "_seen", "_timer", "_told")

    def __init__(self, backend: Backend, connection: Connection, dialect: Dialect, body: Mapping[str, Any]) -> None:
        """Read the request.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is none.
        """
        self._backend = backend
        self._connection = connection
        self._began_at = clock.now()
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        name = fingerprint(body)
        conduct = backend.conduct
        self._told = Told(dialect, dialect.asked(body, name), answer(body, conduct.lengths, conduct.seed))
        stats = backend.stats
        times = stats.begin(self._began_at, name)
        self._seen = Seen(stats.requests - 1, name, times, body, self._began_at - backend.started_at)
        self._job = Job(self._told.said.prompt_tokens, self._told.said.completion_tokens, self._service_s())

    def begin(self) -> None:
        """Ask the script and the limits, and put the answer into the engine."""
        self._note("request")
        fault = self._backend.script(self._seen)
        if fault is not None:
            said = self._told.said
            if fault.crosses:
                conduct = self._backend.conduct
                said = answer(self._backend.last_body or {"prompt": "nobody"}, conduct.lengths, conduct.seed)
            self._told = replace(self._told, fault=fault, said=said)
        self._backend.last_body = self._seen.body
        self._connection.on_lost = self._lose
        if self._told.fault.is_instant:
            self._delay()
        elif self._is_admitted():
            self._make()

    def _service_s(self) -> float:
        conduct = self._backend.conduct
        if not conduct.latency_s:
            return 0.0
        chance = chance_of(conduct.seed, "latency", self._seen.fingerprint, self._seen.times)
        return lognormal(conduct.latency_s, conduct.latency_sigma, chance)

    def _is_admitted(self) -> bool:
        """Let it in, or say that it is too much."""
        gate = self._backend.gate
        if gate is None:
            return True
        said = self._told.said
        most = self._seen.body.get("max_tokens") or self._seen.body.get("max_completion_tokens")
        cost = Cost(said.prompt_tokens, said.completion_tokens, int(most or said.completion_tokens))
        wait_s = gate.admit(self._began_at, cost, self._backend.stats.in_flight - 1)
        headers = dict(gate.headers(self._began_at, datetime.fromisoformat(clock.wall())))
        if wait_s is not None:
            if wait_s:
                headers["retry-after"] = str(max(1, -int(-wait_s // 1)))
                headers["retry-after-ms"] = str(-int(-wait_s * 1000 // 1))
            self._told = replace(self._told, fault=replace(LIMITED, name="limited"), headers=headers)
            self._reply()
            return False
        self._told = replace(self._told, headers=headers)
        return True

    def _make(self) -> None:
        """Make the answer; a stream begins at once and waits for its tokens itself."""
        is_done = self._backend.submit(self._job, self._made)
        if is_done or self._told.streams:
            self._delay()

    def _made(self) -> None:
        if not self._told.streams:
            self._delay()

    def _delay(self) -> None:
        delay_s = self._told.fault.delay_s
        if delay_s:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._reply)
        else:
            self._reply()

    def _reply(self) -> None:
        told = self._told
        if told.fault.down_s:
            self._backend.take_break(told.fault.down_s)
        if is_plain(told):
            body = body_bytes(told)
            self._end("reply")
            self._connection.send(JSON_HEAD % len(body) + body)
            return
        self._connection.play(
            parts_of(told, datetime.fromisoformat(clock.wall()), self._written), told.ending, self._hand_over
        )

    def _written(self) -> int:
        return self._backend.engine.decoded(clock.now(), self._job)

    def _hand_over(self) -> None:
        self._end("reply")

    def _lose(self) -> None:
        self._end("gone")

    def _end(self, event: What) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        backend, told, now = self._backend, self._told, clock.now()
        backend.drop(self._job)
        backend.stats.end(now)
        is_served = event == "reply" and told.fault.keeps_right
        status = None if event == "gone" or told.fault.cut_after == 0 else told.fault.status or 200
        if is_served:
            backend.stats.serve(self._seen.fingerprint, now - self._began_at, told.said)
            backend.latencies.note(self._job, now)
        backend.stats.count(status, None if told.fault is NO_FAULT else told.fault.name)
        self._note(event, status=status, is_served=is_served)

    def _note(self, event: What, *, status: int | None = None, is_served: bool = False) -> None:
        seen, told = self._seen, self._told
        entry = Entry(
            seen.number,
            event,
            seen.fingerprint,
            seen.times,
            status,
            None if told.fault is NO_FAULT else told.fault.name,
            is_served,
            told.said.prompt_tokens,
            told.said.completion_tokens,
            round(clock.now() - self._backend.started_at, 6),
        )
        self._backend.journal.note(entry)
