"""From sections of the config to the nouns of the core: pairs, agents, numbers that say `auto`."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from star_agents.core.calls import SamplingParams
from star_agents.core.cast import Agents
from star_agents.core.records import (
    KEEP,
    Agent,
    AgentPair,
    Role,
)
from star_agents.endpoints.servers.replicas import LocalReplicas, deal, replica_specs
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec, Timeouts
from star_agents.pipeline.graph import BATCH_SEEDS
from star_agents.policy.prompts import Prompts, agent_version, builtin_names, judge_template
from star_agents.service.config.secret_refs import EndpointSecrets
from star_agents.service.config.settings import (
    AgentSection,
    AgentsSection,
    Endpoint,
    JudgeSection,
    LocalEndpoint,
    OpenAISection,
    PairsSection,
    RemoteSection,
    Settings,
)
from star_agents.traffic.price import Price
from star_agents.traffic.sizing import Bounds

MAX_IN_FLIGHT = 4096
MAX_BYTES = 2**30
"""What all seeds in flight together may take."""
ANTHROPIC_URL = "https://api.anthropic.com/v1"

DEFAULT_CONCURRENCY = {"openai": 256, "vllm": 256, "transformers": 1}
"""Calls in flight where the config does not say: a replica of an API, or a server of ours by its engine."""


def base_of(pairs: PairsSection) -> tuple[AgentPair, ...]:
    """The pairs every seed is put to."""
    return tuple(AgentPair(instruction, response) for instruction, response in pairs.base)


def pool_of(pairs: PairsSection, agents: AgentsSection) -> tuple[AgentPair, ...]:
    """The pairs that carry weights: the listed ones, or every combination that is not a base pair."""
    if pairs.pool != "all":
        return tuple(AgentPair(instruction, response) for instruction, response in pairs.pool)
    base = set(base_of(pairs))
    everything = (AgentPair(first, second) for first in (KEEP, *agents.instruction) for second in agents.response)
    return tuple(pair for pair in everything if pair not in base)


def agents_of(settings: Settings, prompts: Mapping[str, str]) -> Agents:
    """Instruction and response agents by name; `prompts` are the texts of template files."""
    return Agents(
        {
            name: agent_of(name, Role.INSTRUCTION, section, settings, prompts)
            for name, section in settings.agents.instruction.items()
        },
        {
            name: agent_of(name, Role.RESPONSE, section, settings, prompts)
            for name, section in settings.agents.response.items()
        },
    )


def judge_of(settings: Settings, prompts: Mapping[str, str]) -> Agent:
    """The judge as an agent."""
    section = settings.judge
    as_agent = AgentSection(
        endpoint=section.endpoint,
        prompt=judge_template(section.prompt, by_choice=section.verdict == "choice"),
        temperature=section.temperature,
        max_tokens=section.max_tokens,
    )
    return agent_of("judge", Role.JUDGE, as_agent, settings, prompts)


def prompts_of(section: JudgeSection, texts: Mapping[str, str]) -> Prompts:
    """The templates of a run; `texts` are those of template files.

    Raises:
        ConfigError: some are no templates.
    """
    margin = section.tie_margin if section.verdict == "choice" else None
    return Prompts(texts, pairwise=section.prompt, pairwise_data=section.prompt_data, tie_margin=margin)


def agent_of(name: str, role: Role, section: AgentSection, settings: Settings, prompts: Mapping[str, str]) -> Agent:
    """An agent as its section has it.

    Raises:
        ConfigError: its prompt is neither shipped nor among `prompts`.
    """
    params = SamplingParams(section.max_tokens, section.temperature, section.top_p, tuple(section.stop))
    model = settings.endpoints[section.endpoint].model
    version = agent_version(role=role, prompt=section.prompt, custom=prompts, model=model, params=params)
    return Agent(name, role, section.endpoint, section.prompt, params, version)


def template_files(settings: Settings) -> dict[str, Path]:
    """Prompts that are not shipped and so are files, by the name the config uses."""
    named = [("instruction", agent.prompt) for agent in settings.agents.instruction.values()]
    named += [("response", agent.prompt) for agent in settings.agents.response.values()]
    named += [("judge", settings.judge.prompt), ("judge", settings.judge.prompt_data)]
    return {prompt: Path(prompt) for role, prompt in named if prompt not in builtin_names(role)}


def endpoint_spec(name: str, section: Endpoint, secrets: EndpointSecrets, own: LocalReplicas | None) -> EndpointSpec:
    """What the fleet is told of an endpoint; `own` are the servers that we started for it, if we did."""
    urls = urls_of(section)
    spec = EndpointSpec(
        name=name,
        base_urls=urls,
        model=section.model,
        api="messages",
        concurrency=section.concurrency or _concurrency(urls, own),
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        input_tokens_per_minute=section.input_tokens_per_minute,
        output_tokens_per_minute=section.output_tokens_per_minute,
        pacing=section.pacing,
        timeouts=Timeouts(**section.timeouts.model_dump()),
        extra_body=section.extra_body,
        stream=section.stream,
        stream_end=section.stream_end,
        retry_truncated=section.retry_truncated,
        price=price_of(section),
    )
    if isinstance(section, OpenAISection):
        spec = replace(
            spec,
            api=section.api,
            send_seed=section.send_seed,
            max_tokens_field=section.max_tokens_field,
            choices=section.choices,
        )
    if isinstance(section, RemoteSection):
        spec = replace(
            spec,
            api_key=secrets.api_key,
            key_header=section.key_header,
            headers={**section.headers, **secrets.headers},
            proxy=section.proxy,
            proxy_auth=secrets.proxy_auth,
            ca_file=section.ca_file,
            idempotency_key=section.idempotency_key,
        )
    return spec if own is None else own.endpoint(spec)


def urls_of(section: Endpoint) -> tuple[str, ...]:
    """Where an endpoint is reached; nowhere yet where we start its server ourselves."""
    if not isinstance(section, RemoteSection):
        return ()
    given = tuple(section.base_urls or filter(None, [section.base_url]))
    return given or (ANTHROPIC_URL,)


def price_of(section: Endpoint) -> Price | None:
    """What an endpoint charges, or None where nobody said."""
    return None if section.price is None else Price(**section.price.model_dump())


def prices_of(settings: Settings) -> dict[str, Price | None]:
    """What each endpoint charges."""
    return {name: price_of(section) for name, section in settings.endpoints.items()}


def _concurrency(urls: tuple[str, ...], own: LocalReplicas | None) -> int:
    if own is None:
        return DEFAULT_CONCURRENCY["openai"] * len(urls)
    return DEFAULT_CONCURRENCY[own.engine] * len(own.servers)


def assumed_concurrency(section: Endpoint) -> int:
    """Calls in flight at an endpoint that was not reached: a server of ours is taken for vLLM unless it says not."""
    if section.concurrency is not None:
        return section.concurrency
    if not isinstance(section, LocalEndpoint):
        return _concurrency(urls_of(section), None)
    engine = "transformers" if section.engine == "transformers" else "vllm"
    return DEFAULT_CONCURRENCY[engine] * len(deal(section.gpus, section.replicas))


def server_specs(
    name: str, section: LocalEndpoint, *, model: str, environ: Mapping[str, str]
) -> tuple[LocalServerSpec, ...]:
    """What is told to the model servers that we start for an endpoint; `model` is a folder or a hub id."""
    spec = LocalServerSpec(
        name=name,
        model=model,
        api=section.api,
        engine=section.engine,
        python=section.python or sys.executable,
        args=tuple(section.args),
        environ=environ,
        start_s=section.start_s,
    )
    return replica_specs(spec, deal(section.gpus, section.replicas))


def in_flight_bounds(settings: Settings) -> Bounds:
    """Seeds in flight: at least a batch at the scorer and one to learn from, and as many as are worth their memory."""
    fixed = settings.sampling.max_in_flight
    if fixed != "auto":
        return Bounds(at_least=fixed, at_most=fixed)
    return Bounds(at_least=BATCH_SEEDS + settings.evolution.batch_size, at_most=MAX_IN_FLIGHT, max_bytes=MAX_BYTES)


def first_in_flight(settings: Settings, bounds: Bounds, total_limit: int) -> int:
    """Seeds to begin with: every endpoint that may have `total_limit` calls out has a second helping waiting."""
    calls_per_seed = settings.sampling.pairs_per_seed + len(settings.pairs.base)
    return min(bounds.at_least - (-2 * total_limit // calls_per_seed), bounds.at_most)
