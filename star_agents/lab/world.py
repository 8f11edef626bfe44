"""What is true in the laboratory: how good each pair is, for which kind of seed and when, and what its calls take.

Law: the truth is a function of the config; runs of one config differ in their chance and never in their truth.
What the config does not say is filled in by rules that `World.assumptions` tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from star_agents.core.calls import Purpose, Usage
from star_agents.core.records import KEEP, Agent, AgentPair
from star_agents.lab.chance import normal, uniforms
from star_agents.service.config.laboratory import Drift, LaboratorySection, Responder, Rewriter, Writer
from star_agents.service.run.job import Inputs

DEFAULT_QUALITIES = 0.3, 0.75
"""Response agents of unknown quality are spread evenly between these, in the order of the config."""
BASE_QUALITY = 0.5
"""That of a response agent of a base pair, where unknown."""
FIRST_TOKEN_S, TOKENS_PER_S = 0.3, 50.0
"""A call takes the one, and its answer at the other."""
JUDGING = frozenset(Purpose) - {Purpose.REWRITE, Purpose.RESPOND}
"""What the judge is asked for."""
TRUTH_SEEDS = 1000
"""A pair's mean quality is taken over so many seeds of a run."""
SHARE_WRITTEN = 0.5
"""Of the tokens that an agent may write, what it writes."""


@dataclass(frozen=True, slots=True)
class CallLaw:
    """How calls to one agent go: log-normal latencies around the median, a share of failures, tokens."""

    latency_s: float
    latency_spread: float
    failure_rate: float
    usage: Usage


class World:
    """The truth. `seed` names what the config leaves open, such as how agents differ between clusters."""

    def __init__(self, section: LaboratorySection, inputs: Inputs, *, seed: int) -> None:
        self.section = section
        self.num_seeds = inputs.num_seeds
        self._seed = seed
        self._inputs = inputs
        self._responders = {name: section.response.get(name, Responder()) for name in inputs.agents.response}
        self._rewriters = {name: section.instruction.get(name, Rewriter()) for name in inputs.agents.instruction}
        self._means = {name: self._by_cluster(name) for name in self._responders}
        self._is_still = all(one.drift is None for one in self._responders.values())
        self._clusters: dict[int, int] = {}
        self._of_pool: dict[int, tuple[float, ...]] = {}

    def cluster_of(self, number: int) -> int:
        """The kind of task that a seed is: each is as likely as any other."""
        if number not in self._clusters:
            (chance,) = uniforms(1, self._seed, "cluster", number)
            self._clusters[number] = int(chance * self.section.clusters)
        return self._clusters[number]

    def quality(self, pair: AgentPair, number: int) -> float:
        """How good the answers of a pair to this seed are on average, between 0 and 1."""
        mean = self._means[pair.response][self.cluster_of(number)]
        if pair.instruction != KEEP:
            mean += self._rewriters[pair.instruction].lift
        drift = self._responders[pair.response].drift
        return _clipped(mean if drift is None else mean + _drifted(drift, number / self.num_seeds))

    def qualities(self, number: int) -> tuple[float, ...]:
        """The same for every pair of the pool, in its order."""
        if not self._is_still:
            return tuple(self.quality(pair, number) for pair in self._inputs.pool)
        cluster = self.cluster_of(number)
        if cluster not in self._of_pool:
            self._of_pool[cluster] = tuple(self.quality(pair, number) for pair in self._inputs.pool)
        return self._of_pool[cluster]

    @cached_property
    def truth(self) -> tuple[float, ...]:
        """The mean quality of every pair of the pool over the run."""
        numbers = range(0, self.num_seeds, max(1, self.num_seeds // TRUTH_SEEDS))
        columns = zip(*map(self.qualities, numbers), strict=True)
        return tuple(sum(column) / len(numbers) for column in columns)

    def noise(self, response_agent: str) -> float:
        """How much one answer differs from the agent's average, as a standard deviation."""
        own = self._responders[response_agent].noise
        return self.section.noise if own is None else own

    @cached_property
    def call_laws(self) -> Mapping[tuple[Purpose, str], CallLaw]:
        """How calls go, by what they are for and by agent."""
        agents, judge = self._inputs.agents, self._inputs.judge
        laws = {(Purpose.RESPOND, name): _law(self._responders[name], one) for name, one in agents.response.items()}
        laws |= {(Purpose.REWRITE, name): _law(self._rewriters[name], one) for name, one in agents.instruction.items()}
        return laws | {(purpose, judge.name): _law(self.section.judge, judge) for purpose in JUDGING}

    def assumptions(self) -> list[str]:
        """What was filled in, a line each, for people."""
        unknown = [name for name, one in self._responders.items() if one.quality is None]
        clusters, spread = self.section.clusters, self.section.cluster_spread
        lines = [f"{name}: quality {sum(self._means[name]) / clusters:.2f}" for name in unknown]
        if clusters > 1 and spread:
            lines.append(f"{clusters} kinds of tasks; agents differ between them by {spread:g} (standard deviation)")
        return lines

    def _by_cluster(self, name: str) -> tuple[float, ...]:
        given = self._responders[name].quality
        clusters, spread = self.section.clusters, self.section.cluster_spread
        if isinstance(given, dict):
            return tuple(given.get(f"c{number}", BASE_QUALITY) for number in range(clusters))
        mean = self._assumed(name) if given is None else given
        if clusters == 1:
            return (mean,)
        drawn = [normal(uniforms(1, self._seed, "taste", name, number)[0]) for number in range(clusters)]
        middle = sum(drawn) / clusters
        return tuple(_clipped(mean + spread * (one - middle)) for one in drawn)

    def _assumed(self, name: str) -> float:
        base = {pair.response for pair in self._inputs.base}
        if name in base:
            return BASE_QUALITY
        unknown = [one for one, said in self._responders.items() if said.quality is None and one not in base]
        low, high = DEFAULT_QUALITIES
        return low + (high - low) * (unknown.index(name) + 0.5) / len(unknown)


def _law(writer: Writer, agent: Agent) -> CallLaw:
    written = writer.output_tokens or max(1, int(SHARE_WRITTEN * agent.params.max_tokens))
    latency_s = writer.latency_s or FIRST_TOKEN_S + written / TOKENS_PER_S
    return CallLaw(latency_s, writer.latency_spread, writer.failure_rate, Usage(writer.input_tokens, written))


def _drifted(drift: Drift, at: float) -> float:
    if at < drift.at:
        return 0.0
    return drift.by * min(1.0, (at - drift.at) / drift.over) if drift.over else drift.by


def _clipped(quality: float) -> float:
    return min(max(quality, 0.0), 1.0)
