"""From sections of the config to the nouns of the core: pairs, agents, numbers that say `auto`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from star_agents.core.calls import SamplingParams
from star_agents.core.cast import Agents
from star_agents.core.records import (
    KEEP,
    Agent,
    AgentPair,
    Role,
)
from star_agents.core.secret import Secret
from star_agents.endpoints.local import LocalServer
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec, Timeouts
from star_agents.pipeline.graph import BATCH_SEEDS
from star_agents.policy.prompts import agent_version, builtin_names
from star_agents.service.settings import (
    AgentSection,
    AgentsSection,
    Endpoint,
    LocalEndpoint,
    OpenAIEndpoint,
    PairsSection,
    Settings,
)

MAX_IN_FLIGHT = 4096

DEFAULT_CONCURRENCY = {"openai": 64, "vllm": 128, "transformers": 4}
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
            name: _agent(name, Role.INSTRUCTION, section, settings, prompts)
            for name, section in settings.agents.instruction.items()
        },
        {
            name: _agent(name, Role.RESPONSE, section, settings, prompts)
            for name, section in settings.agents.response.items()
        },
    )


def judge_of(settings: Settings, prompts: Mapping[str, str]) -> Agent:
    """The judge as an agent."""
    section = settings.judge
    as_agent = AgentSection(
        endpoint=section.endpoint,
        prompt=section.prompt,
        temperature=section.temperature,
        max_tokens=section.max_tokens,
    )
    return _agent("judge", Role.JUDGE, as_agent, settings, prompts)


def _agent(name: str, role: Role, section: AgentSection, settings: Settings, prompts: Mapping[str, str]) -> Agent:
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


def endpoint_spec(name: str, section: Endpoint, key: Secret | None, server: LocalServer | None) -> EndpointSpec:
    """What the fleet is told of an endpoint; `server` is the one that we started for it, if we did."""
    urls: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    if isinstance(section, OpenAIEndpoint):
        urls, headers = tuple(section.base_urls or filter(None, [section.base_url])), section.headers
    spec = EndpointSpec(
        name=name,
        base_urls=urls,
        model=section.model,
        api=section.api,
        api_key=key,
        headers=headers,
        concurrency=section.concurrency or _concurrency(urls, server),
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        timeouts=Timeouts(**section.timeouts.model_dump()),
        extra_body=section.extra_body,
        send_seed=section.send_seed,
        retry_truncated=section.retry_truncated,
    )
    return spec if server is None else server.endpoint(spec)


def _concurrency(urls: tuple[str, ...], server: LocalServer | None) -> int:
    return DEFAULT_CONCURRENCY["openai"] * len(urls) if server is None else DEFAULT_CONCURRENCY[server.engine]


def server_spec(name: str, section: LocalEndpoint, *, model: str, environ: Mapping[str, str]) -> LocalServerSpec:
    """What is told to a model server that we start; `model` is a folder or a hub id."""
    return LocalServerSpec(
        name=name,
        model=model,
        api=section.api,
        engine=section.engine,
        python=section.python or sys.executable,
        args=tuple(section.args),
        gpus=tuple(section.gpus),
        environ=environ,
        start_s=section.start_s,
    )


def max_in_flight(settings: Settings, total_concurrency: int) -> int:
    """Seeds in flight: every endpoint busy with a second helping waiting, a batch at the scorer, one to learn from."""
    if settings.sampling.max_in_flight != "auto":
        return settings.sampling.max_in_flight
    calls_per_seed = settings.sampling.pairs_per_seed + len(settings.pairs.base)
    asked = -(-2 * total_concurrency // calls_per_seed)
    return min(asked + BATCH_SEEDS + settings.evolution.batch_size, MAX_IN_FLIGHT)
