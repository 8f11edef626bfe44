"""A server that batches continuously, as vLLM does: throughput grows up to a knee and no further.

Law: with n sequences running each decodes `decode_rate / max(1, n / knee)` tokens a second, so that together they
never do more than `knee * decode_rate`; a client that keeps the knee in flight loses nothing, one that keeps more
only waits. Prefill is work of the same kind. Where the KV cache is full the sequence that was admitted last is
preempted: it goes to the head of the queue, keeps what it wrote, and its prefill is done again (recomputation,
as in vLLM's scheduler).

Everything that runs progresses alike, so one number, the progress of a sequence that was there from the start,
tells where each of them is: an event costs O(log n), and time between events costs nothing.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count

from star_agents.mock.engine import Gauges, Job

WATERMARK = 0.01
"""Of the KV cache, kept free when a sequence is admitted."""
EPSILON = 1e-6
"""Of a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The size of the machine."""

    max_running: int = 256
    """vLLM's `--max-num-seqs`."""
    knee: float = 32.0
    """Sequences at which throughput stops growing."""
    decode_rate: float = 50.0
    """Tokens a second of one sequence up to the knee."""
    prefill_rate: float = 5000.0
    """Prompt tokens a second of one sequence up to the knee."""
    kv_tokens: int | None = None
    """Room of the KV cache, or None for as much as anybody wants."""

    def engine(self) -> "BatchEngine":
        """One of these, at rest."""
        return BatchEngine(self)


class _Sequence:
    """A job in the engine. `start` is the progress at which its prefill ends and its decoding begins."""

    __slots__ = ("epoch", "is_decoding", "job", "start", "written")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.written = 0
        """Tokens written before it was preempted."""
        self.start = 0.0
        self.is_decoding = False
        self.epoch = 0
        """Counts admissions: milestones of an earlier one mean nothing any more."""


class BatchEngine:
    """See the module."""

    def __init__(self, model: Batching) -> None:
        self._model = model
        self._factor = 1.0
        self._running: dict[Job, _Sequence] = {}
        self._waiting: deque[_Sequence] = deque()
        self._milestones: list[tuple[float, int, int, _Sequence]] = []
        self._numbers = count()
        self._done: list[Job] = []
        """Done and not yet given out."""
        self._at = self._progress = self._kv_used = 0.0
        self._num_decoding = self._preemptions = 0
        self._running_s = self._busy_s = self._prefilled = self._generated = 0.0

    def submit(self, now: float, job: Job) -> bool:
        """See `Engine`."""
        self._catch_up(now)
        job.arrived_at = job.started_at = now
        self._waiting.append(_Sequence(job))
        self._admit()
        return False

    def advance(self, now: float) -> list[Job]:
        """See `Engine`."""
        self._catch_up(now)
        done, self._done = self._done, []
        return done

    def next_at(self) -> float | None:
        """See `Engine`."""
        target = self._next_target()
        if self._done:
            return self._at
        return None if target is None else self._when(target)

    def drop(self, now: float, job: Job) -> None:
        """See `Engine`."""
        self._catch_up(now)
        if job in self._running:
            self._take_out(self._running[job])
        else:
            self._waiting = deque(each for each in self._waiting if each.job is not job)
            self._done = [each for each in self._done if each is not job]
        self._admit()

    def decoded(self, now: float, job: Job) -> int:
        """See `Engine`."""
        self._catch_up(now)
        if job.is_done:
            return job.tokens
        sequence = self._running.get(job)
        if sequence is None:
            return next((each.written for each in self._waiting if each.job is job), 0)
        return min(job.tokens, sequence.written + self._decoded_now(sequence))

    def scale(self, now: float, factor: float) -> None:
        """See `Engine`. The knee moves, and with it all throughput."""
        self._catch_up(now)
        self._factor = factor

    def gauges(self, now: float) -> Gauges:
        """See `Engine`."""
        self._catch_up(now)
        usage = min(1.0, self._kv_used / self._model.kv_tokens) if self._model.kv_tokens else 0.0
        counts = len(self._running), len(self._waiting)
        integrals = self._running_s, self._busy_s, self._prefilled, self._generated
        return Gauges(*counts, usage, self._preemptions, *integrals)

    def _catch_up(self, now: float) -> None:
        """Let everything happen that is due by now."""
        while (target := self._next_target()) is not None and (at := self._when(target)) <= now:
            self._pass_to(at)
            self._write_up_to(target)  # what is left by rounding
            self._handle_milestones()
            self._relieve()
            self._admit()
        self._pass_to(now)

    def _next_target(self) -> float | None:
        """The progress at which something will happen: a prefill or an answer ends, or the cache is full."""
        while self._milestones and self._is_stale(self._milestones[0]):
            heapq.heappop(self._milestones)
        if not self._milestones:
            return None
        target = self._milestones[0][0]
        full = self._progress_until_full()
        return target if full is None else min(target, full)

    def _when(self, target: float) -> float:
        return self._at + max(0.0, target - self._progress) / self._rate()

    def _rate(self) -> float:
        """Progress a second of each running sequence."""
        crowding = len(self._running) / (self._model.knee * self._factor)
        return self._model.decode_rate / max(1.0, crowding)

    def _pass_to(self, now: float) -> None:
        """Let time pass in which nothing happens but writing."""
        elapsed = now - self._at
        if elapsed <= 0:
            return
        self._at = now
        running = len(self._running)
        if running:
            self._write_up_to(self._progress + elapsed * self._rate())
            self._running_s += elapsed * running
            self._busy_s += elapsed * min(1.0, running / (self._model.knee * self._factor))

    def _write_up_to(self, progress: float) -> None:
        """Let every sequence that decodes write."""
        written = max(0.0, progress - self._progress) * self._num_decoding
        self._kv_used += written
        self._generated += written
        self._progress = max(self._progress, progress)

    def _is_stale(self, milestone: tuple[float, int, int, _Sequence]) -> bool:
        _, _, epoch, sequence = milestone
        return sequence.epoch != epoch or sequence.job not in self._running

    def _handle_milestones(self) -> None:
        """Prefills that have ended, and answers that are written."""
        while self._milestones and self._milestones[0][0] <= self._progress + EPSILON:
            milestone = heapq.heappop(self._milestones)
            if self._is_stale(milestone):
                continue
            sequence = milestone[3]
            if sequence.is_decoding:
                self._take_out(sequence)
                sequence.job.is_done = True
                self._done.append(sequence.job)
            else:
                self._begin_decoding(sequence)

    def _begin_decoding(self, sequence: _Sequence) -> None:
        sequence.is_decoding = True
        self._num_decoding += 1
        self._prefilled += sequence.job.prompt_tokens + sequence.written
        if not sequence.written:
            sequence.job.first_token_at = self._at
        self._push(sequence.start + sequence.job.tokens - sequence.written, sequence)

    def _push(self, progress: float, sequence: _Sequence) -> None:
        heapq.heappush(self._milestones, (progress, next(self._numbers), sequence.epoch, sequence))

    def _decoded_now(self, sequence: _Sequence) -> int:
        """Tokens since its decoding began."""
        return int(self._progress - sequence.start + EPSILON) if sequence.is_decoding else 0

    def _take_out(self, sequence: _Sequence) -> None:
        """Out of the running batch, and out of the cache."""
        del self._running[sequence.job]
        held = sequence.job.prompt_tokens + float(sequence.written)
        if sequence.is_decoding:
            self._num_decoding -= 1
            held += self._progress - sequence.start
        self._kv_used = max(0.0, self._kv_used - held) if self._running else 0.0
        sequence.written = min(sequence.job.tokens - 1, sequence.written + self._decoded_now(sequence))
        sequence.is_decoding = False

    def _progress_until_full(self) -> float | None:
        """The progress at which the cache is full; one sequence alone may have all of it and more."""
        if self._model.kv_tokens is None or not self._num_decoding or len(self._running) < 2:  # noqa: PLR2004
            return None
        return self._progress + max(0.0, self._model.kv_tokens - self._kv_used) / self._num_decoding

    def _relieve(self) -> None:
        """Preempt until what is written next has room."""
        kv_tokens = self._model.kv_tokens
        while kv_tokens is not None and len(self._running) > 1 and self._kv_used >= kv_tokens - EPSILON:
            sequence = self._running[next(reversed(self._running))]
            self._take_out(sequence)
            self._waiting.appendleft(sequence)
            self._preemptions += 1

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._model.max_running and self._fits(self._waiting[0]):
            sequence = self._waiting.popleft()
            context = sequence.job.prompt_tokens + sequence.written
            self._kv_used += context
            if not sequence.epoch:
                sequence.job.started_at = self._at
            sequence.epoch += 1
            sequence.start = self._progress + context * self._model.decode_rate / self._model.prefill_rate
            self._running[sequence.job] = sequence
            self._push(sequence.start, sequence)

    def _fits(self, sequence: _Sequence) -> bool:
        if self._model.kv_tokens is None or not self._running:
            return True
        context = sequence.job.prompt_tokens + sequence.written
        return self._kv_used + context <= self._model.kv_tokens * (1 - WATERMARK)
