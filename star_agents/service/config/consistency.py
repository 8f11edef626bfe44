"""Whether a config makes sense as a whole: names that point nowhere, numbers that contradict each other.

Each check names the sections it reads; it is left out while one of them is unsound.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Any

from star_agents.core.records import KEEP
from star_agents.endpoints.servers.replicas import deal
from star_agents.policy.probes import BUILTIN
from star_agents.policy.prompts import builtin_names
from star_agents.service.config.laboratory import LaboratorySection
from star_agents.service.config.settings import (
    AgentsSection,
    BudgetSection,
    Endpoint,
    EvolutionSection,
    JudgeSection,
    LocalEndpoint,
    MemorySection,
    OpenAIEndpoint,
    OutputSection,
    PairsSection,
    RemoteSection,
    SamplingSection,
    ScoringSection,
    SeedsSection,
    ServiceSection,
)
from star_agents.service.config.wiring import pool_of
from star_agents.service.config.yaml_source import Path

Sections = Mapping[str, Any]
"""Sound sections by name; each value is what `Settings` holds under that name."""

Problem = tuple[Path, str]


def inconsistencies(sections: Sections) -> Iterator[Problem]:
    """Every contradiction between sound sections."""
    for needed, check in _CHECKS:
        if all(name in sections for name in needed):
            yield from check(*(sections[name] for name in needed))


def _endpoints(endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for name, endpoint in endpoints.items():
        if isinstance(endpoint, LocalEndpoint):
            yield from _gpus(("endpoints", name, "gpus"), endpoint)
        if not isinstance(endpoint, RemoteSection):
            continue
        num_given = (endpoint.base_url is not None) + (endpoint.base_urls is not None)
        if num_given > 1 or (num_given == 0 and isinstance(endpoint, OpenAIEndpoint)):
            yield ("endpoints", name), "give either base_url or base_urls"
        if endpoint.proxy_auth is not None and endpoint.proxy is None:
            yield ("endpoints", name, "proxy_auth"), "there is no proxy to tell it to; give one"
        if endpoint.ca_file is not None and not FilePath(endpoint.ca_file).is_file():
            yield ("endpoints", name, "ca_file"), "no such file; give certificates in PEM form"


def _gpus(path: Path, endpoint: LocalEndpoint) -> Iterator[Problem]:
    try:
        deal(endpoint.gpus, endpoint.replicas)
    except ValueError as error:
        yield path, str(error)


def _agents(agents: AgentsSection, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for role, group in (("instruction", agents.instruction), ("response", agents.response)):
        for name, agent in group.items():
            path = ("agents", role, name)
            if name == KEEP:
                yield path, "`keep` is built in; choose another name"
            yield from _known((*path, "endpoint"), agent.endpoint, endpoints, "endpoint")
            yield from _prompt((*path, "prompt"), agent.prompt, role)


def _judge(judge: JudgeSection, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    yield from _known(("judge", "endpoint"), judge.endpoint, endpoints, "endpoint")
    yield from _prompt(("judge", "prompt"), judge.prompt, "judge")
    yield from _prompt(("judge", "prompt_data"), judge.prompt_data, "judge")
    if judge.probes is not None and judge.probes.path != BUILTIN and not FilePath(judge.probes.path).is_file():
        yield ("judge", "probes", "path"), f"no such file; give JSON lines, or `{BUILTIN}`"


def _pairs(pairs: PairsSection, agents: AgentsSection) -> Iterator[Problem]:
    instructions = [KEEP, *agents.instruction]
    lists: dict[str, list[list[str]]] = {"base": pairs.base}
    if pairs.pool != "all":
        lists["pool"] = pairs.pool
    for key, named in lists.items():
        for index, (instruction, response) in enumerate(named):
            yield from _known(("pairs", key, index, 0), instruction, instructions, "instruction agent")
            yield from _known(("pairs", key, index, 1), response, agents.response, "response agent")
            if named.index([instruction, response]) < index:
                yield ("pairs", key, index), "given twice; a pair has one weight"
            if key == "pool" and [instruction, response] in pairs.base:
                yield ("pairs", key, index), "is a base pair, which is always asked; take it out of the pool"
    if not pool_of(pairs, agents):
        yield ("pairs", "pool"), "the pool is empty: no pair is left besides the base; add an agent or a pair"


def _sampling(sampling: SamplingSection, pairs: PairsSection, agents: AgentsSection) -> Iterator[Problem]:
    num_pairs = len(pool_of(pairs, agents))
    if sampling.from_memory > sampling.pairs_per_seed:
        yield ("sampling", "from_memory"), f"more than pairs_per_seed ({sampling.pairs_per_seed})"
    if num_pairs and not sampling.replacement and sampling.pairs_per_seed > num_pairs:
        yield (
            ("sampling", "pairs_per_seed"),
            f"{sampling.pairs_per_seed} without replacement from a pool of {num_pairs}; lower it or add pairs",
        )


def _floor(evolution: EvolutionSection, pairs: PairsSection, agents: AgentsSection) -> Iterator[Problem]:
    num_pairs = len(pool_of(pairs, agents))
    if evolution.floor * num_pairs >= 1:
        yield ("evolution", "floor"), f"{num_pairs} pairs at {evolution.floor:g} each leave nothing to learn; lower it"


def _rule(evolution: EvolutionSection) -> Iterator[Problem]:
    rule, rate = evolution.rule, evolution.rate
    if rule == "thompson" and rate != "auto":
        yield ("evolution", "rate"), "rule thompson has none; leave it out (discount says how fast it forgets)"
    if rule == "exp3" and rate != "auto" and rate > 1:
        yield ("evolution", "rate"), "of rule exp3 it is the share that explores; at most 1, or auto"
    if rule != "thompson" and evolution.discount != "auto":
        yield ("evolution", "discount"), f"rule {rule} forgets nothing; leave it out, or take rule thompson"


def _cadence(evolution: EvolutionSection, sampling: SamplingSection) -> Iterator[Problem]:
    is_round, in_order = evolution.mode == "round", evolution.order == "ticket"
    if is_round and evolution.max_lag is not None:
        yield ("evolution", "max_lag"), "a round is drawn from what the rounds before it taught; leave it out"
    if not is_round and evolution.round_seeds is not None:
        yield ("evolution", "round_seeds"), "there are no rounds; leave it out, or set mode: round"
    if not is_round and in_order and evolution.max_lag is None:
        yield ("evolution", "order"), "ticket needs max_lag, which says what weights a seed is drawn from; try 2"
    if in_order and sampling.capacity_aware:
        yield ("sampling", "capacity_aware"), "what is idle depends on latencies, and order: ticket must not; set false"


def _reward(evolution: EvolutionSection, agents: AgentsSection, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    if evolution.reward != "quality_per_cost":
        return
    asked = {agent.endpoint for agent in (*agents.instruction.values(), *agents.response.values())}
    prices = {name: endpoints[name].price for name in sorted(asked) if name in endpoints}
    if None in prices.values():
        return  # tokens count
    for name, price in prices.items():
        if price is not None and not price.input and not price.output:
            mend = "say what it costs you, or leave it out: then tokens count"
            yield ("endpoints", name, "price"), f"reward: quality_per_cost cannot compare with what is free; {mend}"


def _seeds(seeds: SeedsSection, service: ServiceSection, evolution: EvolutionSection) -> Iterator[Problem]:
    if seeds.path is not None:
        return
    if seeds.follow is None and not service.keep_alive:
        yield ("seeds", "path"), "no seeds: name a file, or one to follow, or set service.keep_alive and feed the run"
        return
    if evolution.rate == "auto" and evolution.rule != "thompson":
        told = "auto follows from the number of seeds, and without seeds.path nobody knows it; give a number"
        yield ("evolution", "rate"), told
    if evolution.mode == "round" and evolution.round_seeds is None:
        yield ("evolution", "round_seeds"), "a round is a pass over seeds.path, and there is none; give a number"


def _memory(memory: MemorySection, sampling: SamplingSection) -> Iterator[Problem]:
    if memory.embedder is None and sampling.from_memory:
        yield ("sampling", "from_memory"), "memory.embedder is null, so nothing can come from memory; set it to 0"


def _scoring(scoring: ScoringSection) -> Iterator[Problem]:
    path = ("scoring", "large_device")
    if "auto" in scoring.device and scoring.device != "auto":
        yield ("scoring", "device"), "`auto` means every device of its sort; let it stand alone"
    if scoring.large_device is None:
        return
    if scoring.large is None:
        yield path, "there is no scoring.large to place; name one, or take this out"
    elif "auto" in scoring.device or "auto" in scoring.large_device:
        yield path, "with devices of its own for the large model, `auto` cannot be divided: name scoring.device too"


def _budget(budget: BudgetSection, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    if budget.usd is None:
        return
    for name, endpoint in endpoints.items():
        if not isinstance(endpoint, LocalEndpoint) and endpoint.price is None:
            free = "{input: 0, output: 0} where it costs nothing"
            yield ("endpoints", name), f"a dollar budget needs a price here ({free})"


def _laboratory(laboratory: LaboratorySection, agents: AgentsSection) -> Iterator[Problem]:
    for role, told, known in (
        ("instruction", laboratory.instruction, agents.instruction),
        ("response", laboratory.response, agents.response),
    ):
        for name in told:
            yield from _known(("laboratory", role, name), name, known, f"{role} agent")
    clusters = [f"c{number}" for number in range(laboratory.clusters)]
    for name, agent in laboratory.response.items():
        for cluster in agent.quality if isinstance(agent.quality, dict) else ():
            yield from _known(("laboratory", "response", name, "quality", cluster), cluster, clusters, "kind of task")


def _output(output: OutputSection) -> Iterator[Problem]:
    if output.format == "datasets" and find_spec("datasets") is None:  # else it would be missed when the run ends
        yield ("output", "format"), "datasets needs the hub extra: pip install 'star-agents[hub]'"


def _known(path: Path, name: str, known: Iterable[str], what: str) -> Iterator[Problem]:
    names = list(known)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names) or 'none'}"
    yield path, f"no such {what}; {hint}"


def _prompt(path: Path, prompt: str, role: str) -> Iterator[Problem]:
    names = builtin_names(role)
    if prompt not in names and not FilePath(prompt).is_file():
        close = difflib.get_close_matches(prompt, names, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"shipped: {', '.join(names)}"
        yield path, f"no such prompt, and no such template file; {hint}"


_CHECKS: tuple[tuple[tuple[str, ...], Callable[..., Iterator[Problem]]], ...] = (
    (("endpoints",), _endpoints),
    (("agents", "endpoints"), _agents),
    (("judge", "endpoints"), _judge),
    (("pairs", "agents"), _pairs),
    (("sampling", "pairs", "agents"), _sampling),
    (("evolution", "pairs", "agents"), _floor),
    (("evolution",), _rule),
    (("evolution", "sampling"), _cadence),
    (("evolution", "agents", "endpoints"), _reward),
    (("seeds", "service", "evolution"), _seeds),
    (("memory", "sampling"), _memory),
    (("scoring",), _scoring),
    (("budget", "endpoints"), _budget),
    (("laboratory", "agents"), _laboratory),
    (("output",), _output),
)
