"""The ports of `core/ports.py` as the laboratory's world answers them.

Law: what a call brings is drawn by the call's own name, so it is the same whenever it is made and whatever else is
going on; only when it comes back depends on who else asks.
"""

import asyncio
import math
import struct
from collections.abc import Mapping, Sequence

from star_agents.core.calls import Completion, FinishReason, Purpose, Request
from star_agents.core.errors import OverloadedError
from star_agents.core.place import Place
from star_agents.core.records import AgentPair, ModelScore, Sample, Scores, ScoreStatus, Seed
from star_agents.core.rng import derive
from star_agents.endpoints.meter import EndpointStatus
from star_agents.lab.chance import normal, uniforms
from star_agents.lab.texts import answer, number_of, qualities_in, quality_of, rewritten, task
from star_agents.lab.world import CallLaw, World

LARGE_IFD = 0.5
"""What the large scorer says of everything, so that the gap is the quality; any number would do."""

DIMENSIONS = 16
"""Of an embedding, at least; every kind of task has a direction of its own."""

UNREADABLE = "I would rather not say."


class Room:
    """How many calls an endpoint takes at once; the others wait, first come, first served."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places = asyncio.Semaphore(limit)
        self._present = 0

    @property
    def in_flight(self) -> int:
        """Calls that have a place."""
        return min(self._present, self.limit)

    @property
    def waiting(self) -> int:
        """Calls that wait for one."""
        return max(self._present - self.limit, 0)

    async def stay(self, time_s: float) -> None:
        """Take a place, waiting for one, for so long."""
        self._present += 1
        try:
            async with self._places:
                await asyncio.sleep(time_s)
        finally:
            self._present -= 1


class LabEndpoints:
    """`Completer`: every endpoint of the config, with as many places as `limits` say."""

    def __init__(self, world: World, limits: Mapping[str, int], run_seed: int) -> None:
        self._world = world
        self._rooms = {name: Room(limit) for name, limit in limits.items()}
        self._run_seed = run_seed

    async def complete(
        self,
        request: Request,
        place: Place | None = None,  # noqa: ARG002  # the laboratory's store forgets nothing
    ) -> Completion:
        """Answer after the time that the call takes.

        Raises:
            OverloadedError: the agent fails this call.
        """
        key, law = request.key, self._world.call_laws[request.key.purpose, request.agent]
        chance = uniforms(4, self._run_seed, "world", key.seed, key.purpose, key.slot, key.ordinal)
        latency_s = law.latency_s * math.exp(law.latency_spread * normal(chance[0]))
        await self._rooms[request.endpoint].stay(latency_s)
        if chance[1] < law.failure_rate:
            raise OverloadedError(f"{request.agent} fails this call")
        return self._completion(request, law, self._text(request, chance[2:]), latency_s)

    def unavailable(self) -> frozenset[str]:
        """None: agents fail by the call."""
        return frozenset()

    def snapshot(self) -> list[EndpointStatus]:
        """How busy each endpoint is, as `service.run.sizing` looks at it."""
        return [
            EndpointStatus(name=name, state="ok", limit=room.limit, in_flight=room.in_flight, waiting=room.waiting)
            for name, room in self._rooms.items()
        ]

    def idle_shares(self) -> dict[str, float]:
        """By endpoint, how much of its room is free."""
        return {name: 1 - room.in_flight / room.limit for name, room in self._rooms.items()}

    def _completion(self, request: Request, law: CallLaw, text: str, latency_s: float) -> Completion:
        return Completion(text, FinishReason.STOP, law.usage, request.agent, request.endpoint, latency_s)

    def _text(self, request: Request, chance: Sequence[float]) -> str:
        key = request.key
        match key.purpose:
            case Purpose.REWRITE:
                return rewritten(key.seed, request.agent)
            case Purpose.RESPOND:
                pair = AgentPair(*request.pair.split("+"))
                quality = self._world.quality(pair, key.seed) + self._world.noise(pair.response) * normal(chance[0])
                return answer(min(max(quality, 0.0), 1.0), key.seed, key.slot)
            case _:
                return self._verdict(request, *chance)

    def _verdict(self, request: Request, chance: float, whether_readable: float) -> str:
        """The judge's last line, or the label alone where it is to choose."""
        judge = self._world.section.judge
        if whether_readable < judge.unparsed_rate:
            return UNREADABLE
        first, second = qualities_in(request.messages)
        ahead = first - second + judge.position_bias + judge.noise * normal(chance)
        said = "tie" if abs(ahead) < judge.tie else "A" if ahead > 0 else "B"
        if request.choices:
            return {"A": "A", "B": "B", "tie": "C"}[said]
        return f"Verdict: {said}"


class LabScorer:
    """`Scorer`: the gap is the quality with noise, which is drawn by the sample's text."""

    def __init__(self, world: World, run_seed: int, *, has_large: bool) -> None:
        self._options = world.section.scorer
        self._run_seed = run_seed
        self._large = ModelScore(ScoreStatus.OK, ifd=LARGE_IFD) if has_large else None

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """Score after the time that so many samples take."""
        await asyncio.sleep(self._options.sample_s * len(samples))
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Scores:
        gap = quality_of(sample.response)
        if self._options.noise:
            (chance,) = uniforms(1, self._run_seed, "scorer", sample.response)
            gap += self._options.noise * normal(chance)
        ifd = gap if self._large is None else gap + LARGE_IFD
        return Scores(ModelScore(ScoreStatus.OK, ifd=ifd), self._large)


class LabEmbedder:
    """`Embedder`: one direction for each kind of task, with noise."""

    def __init__(self, world: World, run_seed: int) -> None:
        self._world = world
        self._run_seed = run_seed
        self._size = max(DIMENSIONS, world.section.clusters)

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Embed at once: in a run it is the cheapest of all."""
        return [self._embed(number_of(text)) for text in texts]

    def _embed(self, number: int) -> bytes:
        size, spread = self._size, self._world.section.embedding_noise / math.sqrt(self._size)
        vector = [0.0] * size
        if spread:
            chance = derive(self._run_seed, "embedding", number)
            vector = [spread * chance.gauss() for _ in range(size)]
        vector[self._world.cluster_of(number)] += 1.0
        norm = math.sqrt(sum(value * value for value in vector))
        return struct.pack(f"<{size}f", *(value / norm for value in vector))


class LabSeeds:
    """`SeedSource`: so many tasks, each with the answer that its row came with."""

    def __init__(self, world: World, run_seed: int, *, start: int = 0) -> None:
        self._world = world
        self._run_seed = run_seed
        self._next = start

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, at most `limit`; none at the end."""
        numbers = range(self._next, min(self._next + limit, self._world.num_seeds))
        self._next = numbers.stop
        return [self._seed(number) for number in numbers]

    def _seed(self, number: int) -> Seed:
        section = self._world.section
        (chance,) = uniforms(1, self._run_seed, "row", number)
        quality = min(max(section.seed_quality + section.noise * normal(chance), 0.0), 1.0)
        return Seed(number, task(number), answer(quality, number, "row"))
