"""What a run is likely to cost at each endpoint, from a sample of its seeds. Nothing is sent and nothing is written.

Law: prompts are the very ones that would be sent; what nobody can know beforehand is assumed, and each assumption is
told: answers are as long as the seeds' own, every pair is as likely as any other, nothing fails, all are judged.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from star_agents.core.calls import Message, Usage
from star_agents.core.records import KEEP, Agent, AgentPair, Candidate, Seed
from star_agents.core.rng import derive
from star_agents.endpoints.formats.protocol import CHARS_PER_TOKEN
from star_agents.service.config.settings import LocalEndpoint, Settings
from star_agents.service.config.wiring import assumed_concurrency, price_of
from star_agents.service.run.job import Inputs
from star_agents.storage.seeds import open_seeds
from star_agents.traffic.budget import PICODOLLARS

SAMPLE = 200
"""Seeds that are looked at, spread over the file."""
READ = 1024
ANSWER_TOKENS = 256
"""Of an answer, where the seed has none to go by."""
VERDICT_TOKENS = {"text": 100, "choice": 2}
"""Of a verdict: a few sentences and the label, or the label alone."""
TOKENS_PER_S = 30.0
"""How fast one call is written."""

ASSUMED = (
    "an answer is as long as the seed's own, a rewrite as its question",
    f"{CHARS_PER_TOKEN} characters are a token",
    "every pair is as likely as any other, and no call is made twice",
    f"a call is written at {TOKENS_PER_S:g} tokens a second",
)
LAZY = "every drawn candidate is judged (judge.policy: lazy asks fewer)"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a seed would make, in tokens; `most` is what its answer may take."""

    endpoint: str
    prompt: int
    answer: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a run would ask of one endpoint."""

    endpoint: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    """None where it has no price."""
    at_most_usd: float | None
    """If every answer took all the tokens it may."""
    hours: float
    bound_by: str
    """What the hours follow from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run of so many seeds would cost."""

    seeds: int
    sampled: int
    endpoints: tuple[Expected, ...]
    assumed: tuple[str, ...]


async def estimate(settings: Settings, inputs: Inputs, *, limit: int | None = None) -> Estimate:
    """Look at a sample of the seeds and add up.

    Raises:
        SeedError: the seeds cannot be read.
    """
    seeds = inputs.num_seeds if limit is None else min(limit, inputs.num_seeds)
    sample = await _sample(settings, seeds)
    calls = [call for seed in sample for call in calls_of(seed, settings, inputs)]
    scale = seeds / len(sample) if sample else 0.0
    return Estimate(
        seeds=seeds,
        sampled=len(sample),
        endpoints=tuple(_expected(name, calls, scale, settings) for name in settings.endpoints),
        assumed=tuple(_assumed(settings)),
    )


def _assumed(settings: Settings) -> Iterator[str]:
    yield from ASSUMED
    if settings.judge.policy == "lazy":
        yield LAZY
    for name, section in settings.endpoints.items():
        if isinstance(section, LocalEndpoint) and section.engine == "auto" and section.concurrency is None:
            at_once = assumed_concurrency(section)
            yield f"{name} is vLLM and takes {at_once} calls at once (`transformers serve` takes one: say `engine`)"


async def _sample(settings: Settings, num_seeds: int) -> list[Seed]:
    """Every so many-th seed of those that would be taken in."""
    section = settings.seeds
    if section.path is None or not num_seeds:
        return []
    step = max(1, num_seeds // SAMPLE)
    source = await open_seeds(section.path, row_format=section.format, limit=section.limit)
    taken: list[Seed] = []
    seen = 0
    while seen < num_seeds and (rows := await source.read(min(READ, num_seeds - seen))):
        taken += [seed for number, seed in enumerate(rows, seen) if number % step == 0]
        seen += len(rows)
    return taken


def calls_of(seed: Seed, settings: Settings, inputs: Inputs) -> Iterator[Call]:
    """The calls that a seed would make in a new run, with one draw of its pairs."""
    chance = derive(settings.run.seed, "estimate", seed.number)
    drawn = _drawn(settings, inputs.pool, chance)
    pairs = [*inputs.base, *drawn]
    instructions = [pair.instruction for pair in pairs if pair.instruction != KEEP]
    shared = dict.fromkeys(instructions) if settings.sampling.share_rewrites else instructions
    for name in shared:
        agent = inputs.agents.instruction[name]
        yield _call(agent, inputs.prompts.rewrite(agent.prompt, seed, chance), _tokens(seed.question))
    for pair in pairs:
        agent = inputs.agents.response[pair.response]
        answer = _tokens(seed.response) or ANSWER_TOKENS
        yield _call(agent, inputs.prompts.respond(agent.prompt, seed.question, seed), answer)
    for pair in drawn:
        yield from _verdicts(seed, pair, settings, inputs, chance)


def _drawn(settings: Settings, pool: Sequence[AgentPair], chance: Random) -> list[AgentPair]:
    count = settings.sampling.pairs_per_seed
    if settings.sampling.replacement:
        return chance.choices(pool, k=count)
    return chance.sample(pool, min(count, len(pool)))


def _verdicts(seed: Seed, pair: AgentPair, settings: Settings, inputs: Inputs, chance: Random) -> Iterator[Call]:
    written = Candidate(0, seed.question, seed.response or " " * (ANSWER_TOKENS * CHARS_PER_TOKEN), model="")
    same = pair.instruction == KEEP
    for swapped in (False, True) if settings.judge.swap else (False,):
        asked = inputs.prompts.judge(written, written, swapped=swapped, same_instruction=same, rng=chance)
        yield _call(inputs.judge, asked.messages, VERDICT_TOKENS[settings.judge.verdict])


def _call(agent: Agent, messages: Iterable[Message], answer: int) -> Call:
    most = agent.params.max_tokens
    return Call(agent.endpoint, sum(_tokens(turn.content) for turn in messages), min(answer, most), most)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def _expected(name: str, calls: Sequence[Call], scale: float, settings: Settings) -> Expected:
    section = settings.endpoints[name]
    own = [call for call in calls if call.endpoint == name]
    count, prompt, answer, most = (
        round(scale * total)
        for total in (len(own), sum(c.prompt for c in own), sum(c.answer for c in own), sum(c.most for c in own))
    )
    price = price_of(section)
    hours = _hours(
        {
            "requests_per_minute": _share(count, section.requests_per_minute),
            "tokens_per_minute": _share(prompt + answer, section.tokens_per_minute),
            "input_tokens_per_minute": _share(prompt, section.input_tokens_per_minute),
            "output_tokens_per_minute": _share(answer, section.output_tokens_per_minute),
            "concurrency": answer / TOKENS_PER_S / assumed_concurrency(section) / 60,
        }
    )
    return Expected(
        endpoint=name,
        calls=count,
        input_tokens=prompt,
        output_tokens=answer,
        usd=None if price is None else price.picodollars(Usage(prompt, answer)) / PICODOLLARS,
        at_most_usd=None if price is None else price.picodollars(Usage(prompt, most)) / PICODOLLARS,
        hours=hours[1],
        bound_by=hours[0],
    )


def _share(amount: int, per_minute: int | None) -> float:
    """Minutes."""
    return amount / per_minute if per_minute else 0.0


def _hours(minutes: Mapping[str, float]) -> tuple[str, float]:
    """What takes longest, and its hours."""
    slowest = max(minutes, key=lambda name: minutes[name])
    return slowest, minutes[slowest] / 60
