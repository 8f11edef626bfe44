"""Simulated servers with a known optimum: two APIs that refuse, and two servers that queue, batching or not."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, exp
from random import Random

from star_agents.traffic.knee import Gauges, Knee
from tests.traffic.simulated import Call, Done, Failed, Limited, Served, World

Capacity = Callable[[float], float]
"""What a server can do, over time."""


def constant(value: float) -> Capacity:
    return lambda _now: value


def steps(*levels: tuple[float, float]) -> Capacity:
    """Each level from its time on."""
    return lambda now: [level for since, level in levels if since <= now][-1]


def lognormal(mean: float, sigma: float) -> Callable[[Random], float]:
    """Latencies with this mean; sigma 0 is a constant."""
    return lambda rng: mean * exp(rng.gauss(0.0, sigma) - sigma * sigma / 2) if sigma else mean


ONE_SECOND = lognormal(1.0, 0.0)
MANY_SLOTS = constant(256)


def honest(missing_s: float) -> float | None:
    """A server that says when its bucket will hold what was asked."""
    return missing_s


def in_whole_seconds(missing_s: float) -> float | None:
    return float(max(1, ceil(missing_s)))


def silent(_missing_s: float) -> float | None:
    return None


@dataclass(slots=True)
class RateLimitedApi:
    """An API with a token bucket: so many units a second, `burst_s` seconds' worth at once, and 429 beyond.

    A unit is a request, or a token where `counts_tokens`. Its optimum is its rate.
    """

    per_s: Capacity
    burst_s: float = 1.0
    latency: Callable[[Random], float] = ONE_SECOND
    refusal_s: float = 0.05
    retry_after: Callable[[float], float | None] = honest
    counts_tokens: bool = False
    fails: Callable[[float, Random], bool] = lambda _now, _rng: False
    rng: Random = field(default_factory=lambda: Random(11))
    _level: float = 0.0
    _updated_at: float = -1e9

    def take(self, world: World, call: Call, done: Done) -> None:
        rate, units = self.per_s(world.now), (call.input_tokens + call.output_tokens) if self.counts_tokens else 1.0
        burst = max(1.0, units, rate * self.burst_s)
        self._level = min(burst, self._level + rate * (world.now - self._updated_at))
        self._updated_at = world.now
        if self.fails(world.now, self.rng):
            world.at(world.now + self.refusal_s, lambda: done(Failed()))
        elif self._level < units - 1e-9:
            told = self.retry_after((units - self._level) / rate)
            world.at(world.now + self.refusal_s, lambda: done(Limited(told)))
        else:
            self._level -= units
            world.at(world.now + self.latency(self.rng), lambda: done(Served(call.output_tokens)))


@dataclass(slots=True)
class ConcurrencyLimitedApi:
    """An API that serves so many calls at once and answers 429 beyond. Its optimum is all of them, always."""

    slots: Capacity
    latency: Callable[[Random], float] = ONE_SECOND
    refusal_s: float = 0.05
    retry_after: Callable[[float], float | None] = silent
    rng: Random = field(default_factory=lambda: Random(11))
    running: int = 0

    def take(self, world: World, call: Call, done: Done) -> None:
        if self.running >= self.slots(world.now):
            told = self.retry_after(self.refusal_s)
            world.at(world.now + self.refusal_s, lambda: done(Limited(told)))
            return
        self.running += 1

        def end() -> None:
            self.running -= 1
            done(Served(call.output_tokens))

        world.at(world.now + self.latency(self.rng), end)


@dataclass(slots=True)
class SlotServer:
    """So many calls at once, each for a time of its own, and a queue. Its optimum is that all slots are busy."""

    slots: int
    latency: Callable[[Random], float]
    rng: Random = field(default_factory=lambda: Random(11))
    running: int = 0
    waiting: deque[tuple[Call, Done]] = field(default_factory=deque)
    generated: int = 0
    busy_s: float = 0.0
    """Slot seconds in use, up to `counted_at`."""
    counted_at: float = 0.0

    def take(self, world: World, call: Call, done: Done) -> None:
        if self.running >= self.slots:
            self.waiting.append((call, done))
        else:
            self._run(world, call, done)

    def _run(self, world: World, call: Call, done: Done) -> None:
        self.count(world.now)
        self.running += 1

        def end() -> None:
            self.count(world.now)
            self.running -= 1
            self.generated += call.output_tokens
            if self.waiting:
                self._run(world, *self.waiting.popleft())
            done(Served(call.output_tokens))

        world.at(world.now + self.latency(self.rng), end)

    def count(self, now: float) -> None:
        self.busy_s += self.running * (now - self.counted_at)
        self.counted_at = now

    def gauges(self) -> Gauges:
        return Gauges(self.running, len(self.waiting), 0.1, 0, self.generated)


TICK_S = 0.05


@dataclass(slots=True)
class Sequence:
    """One call on a batching server."""

    call: Call
    done: Done
    written: float = 0.0

    @property
    def kv_tokens(self) -> float:
        return self.call.input_tokens + self.written


@dataclass(slots=True)
class BatchingServer:
    """A vLLM-like server: a batch that is stepped together, a queue in front of it, a KV cache, preemption.

    A step takes `step_s(batch size)` and writes one token a sequence; a sequence that enters, or enters again after it
    was preempted, first has its tokens read at `prefill_per_s`. Others may hold some of its slots. It never refuses.
    """

    step_s: Callable[[int], float]
    slots: Capacity = MANY_SLOTS
    kv_tokens: float = 1e9
    prefill_per_s: float = 20_000.0
    running: list[Sequence] = field(default_factory=list)
    waiting: deque[Sequence] = field(default_factory=deque)
    preemptions: int = 0
    generated: float = 0.0
    peak_waiting: int = 0
    _debt_s: float = 0.0
    _is_ticking: bool = False

    def take(self, world: World, call: Call, done: Done) -> None:
        self.waiting.append(Sequence(call, done))
        if not self._is_ticking:
            self._is_ticking = True
            world.at(world.now + TICK_S, lambda: self._tick(world))

    def _tick(self, world: World) -> None:
        self._admit(world.now)
        self.peak_waiting = max(self.peak_waiting, len(self.waiting))
        time_s = max(0.0, TICK_S - self._debt_s)
        self._debt_s = max(0.0, self._debt_s - TICK_S)
        if self.running:
            self._write(time_s / self.step_s(len(self.running)))
        world.at(world.now + TICK_S, lambda: self._tick(world))

    def _admit(self, now: float) -> None:
        used = sum(sequence.kv_tokens for sequence in self.running)
        while self.waiting and len(self.running) < self.slots(now):
            used += self.waiting[0].kv_tokens
            if used > self.kv_tokens and self.running:
                return
            sequence = self.waiting.popleft()
            self._debt_s += sequence.kv_tokens / self.prefill_per_s
            self.running.append(sequence)

    def _write(self, tokens: float) -> None:
        finished = []
        for sequence in self.running:
            more = min(tokens, sequence.call.output_tokens - sequence.written)
            sequence.written += more
            self.generated += more
            if sequence.written >= sequence.call.output_tokens:
                finished.append(sequence)
        self.running = [sequence for sequence in self.running if sequence.written < sequence.call.output_tokens]
        used = sum(sequence.kv_tokens for sequence in self.running)
        while used > self.kv_tokens and len(self.running) > 1:
            victim = self.running.pop()
            used -= victim.kv_tokens
            self.waiting.appendleft(victim)
            self.preemptions += 1
        for sequence in finished:
            sequence.done(Served(sequence.call.output_tokens))

    def gauges(self) -> Gauges:
        used = sum(sequence.kv_tokens for sequence in self.running)
        kv_usage = min(1.0, used / self.kv_tokens)
        return Gauges(len(self.running), len(self.waiting), kv_usage, self.preemptions, int(self.generated))


def watch(server: BatchingServer | SlotServer, world: World, controller: Knee, every_s: float = 1.0) -> None:
    """Tell the controller the server's figures from now on."""

    def look() -> None:
        controller.observe(world.now, server.gauges())
        world.at(world.now + every_s, look)

    world.at(world.now + every_s, look)


def roofline(floor_s: float, per_sequence_s: float) -> Callable[[int], float]:
    """Bound by memory up to `floor_s / per_sequence_s` sequences, by arithmetic beyond: a sharp knee."""
    return lambda size: max(floor_s, per_sequence_s * size)


def affine(floor_s: float, per_sequence_s: float) -> Callable[[int], float]:
    """A smooth knee: throughput n / (floor + n * per)."""
    return lambda size: floor_s + per_sequence_s * size
