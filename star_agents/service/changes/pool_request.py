"""A change of the pool as a person or a program asks for it: names, worked out into pairs and agents.

Law: nothing here changes a run. What is wrong is told all at once, each with its mend, as of a config; and no
request brings an endpoint, a secret or a file with it: an agent that joins uses what the operator's config has.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints

from star_agents.core.cast import Agents
from star_agents.core.errors import ConfigError
from star_agents.core.records import KEEP, Agent, AgentPair, Role
from star_agents.policy.prompts import builtin_names
from star_agents.service.config import learning, wiring
from star_agents.service.config.section import Name, Section
from star_agents.service.config.settings import AgentSection, Settings

MAX_NAMED = 256
"""Names in one request."""

ROLES = (Role.INSTRUCTION, Role.RESPONSE)

Named = Annotated[str, StringConstraints(pattern=r"^((instruction|response):)?[a-zA-Z0-9][a-zA-Z0-9._+-]{0,128}$")]
"""`keep+hot` for a pair; `hot`, or `response:hot` where both roles have one, for all pairs of an agent."""


class NewAgents(Section):
    """Agents that the config does not know, each as a section of the config would have it."""

    instruction: dict[Name, AgentSection] = Field(default_factory=dict)
    response: dict[Name, AgentSection] = Field(default_factory=dict)

    def of(self, role: Role) -> Mapping[str, AgentSection]:
        """Those of a role, by name."""
        return self.instruction if role is Role.INSTRUCTION else self.response


class PoolRequest(Section):
    """What is to join and to leave, in one step, and why."""

    add: Annotated[list[Named], Field(max_length=MAX_NAMED)] = Field(default_factory=list)
    retire: Annotated[list[Named], Field(max_length=MAX_NAMED)] = Field(default_factory=list)
    agents: NewAgents = NewAgents()
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
    """One line: it is shown in logs and on terminals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """The same in pairs. `agents` are new, and every one of them is in a pair that joins."""

    add: tuple[AgentPair, ...]
    retire: tuple[AgentPair, ...]
    agents: tuple[Agent, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What a request is read against: the run as it is now."""

    settings: Settings
    templates: Mapping[str, str]
    agents: Agents
    base: tuple[AgentPair, ...]
    pool: tuple[AgentPair, ...]


def resolve(request: PoolRequest, cast: Cast) -> PoolChange:
    """Work a request out.

    Raises:
        ConfigError: names that mean nothing, or agents that cannot be; everything at once.
    """
    problems: list[str] = []
    agents = tuple(_new_agents(request.agents, cast, problems))
    known = Agents(cast.agents.instruction, cast.agents.response)
    for agent in agents:
        known.admit(agent)
    add = [pair for named in request.add for pair in _joining(named, known, cast, problems)]
    retire = [pair for named in request.retire for pair in _leaving(named, known, cast, problems)]
    idle = [agent for agent in agents if not any(_plays(pair, agent.role, agent.name) for pair in add)]
    problems += [f"agents.{agent.role}.{agent.name}: no pair of it is added; name it under add" for agent in idle]
    change = PoolChange(
        add=tuple(dict.fromkeys(add)), retire=tuple(dict.fromkeys(retire)), agents=agents, reason=request.reason
    )
    problems = problems or list(_too_few(change, cast))
    if problems:
        raise ConfigError(*problems)
    return change


def _too_few(change: PoolChange, cast: Cast) -> Iterator[str]:
    """A config that matches the changed pool must be one that is taken (`service.consistency`)."""
    left = len([pair for pair in cast.pool if pair not in change.retire]) + len(change.add)
    sampling = cast.settings.sampling
    if change.retire and not sampling.replacement and 0 < left < sampling.pairs_per_seed:
        told = f"{sampling.pairs_per_seed} without replacement from a pool of {left}; retire fewer, or add pairs"
        yield f"sampling.pairs_per_seed: {told}"


def _new_agents(new: NewAgents, cast: Cast, problems: list[str]) -> Iterator[Agent]:
    for role in ROLES:
        for name, section in new.of(role).items():
            found = list(_unsound(role, name, section, cast))
            problems += [f"agents.{role}.{name}{problem}" for problem in found]
            if not found:
                yield wiring.agent_of(name, role, section, cast.settings, cast.templates)


def _unsound(role: Role, name: str, section: AgentSection, cast: Cast) -> Iterator[str]:
    """Why an agent cannot join."""
    endpoints = cast.settings.endpoints
    prompts = {*builtin_names(role), *cast.templates}
    if name == KEEP or name in cast.agents.of(role):
        yield ": there is one of this name; choose another"
    if section.endpoint not in endpoints:
        yield f".endpoint: no endpoint {section.endpoint}; {_hint(section.endpoint, endpoints)}"
    elif endpoints[section.endpoint].price is None and learning.teaches_by_dollars(cast.settings):
        yield f".endpoint: {section.endpoint} has no price, and reward: quality_per_cost compares dollars"
    if section.prompt not in prompts:
        yield f".prompt: no prompt {section.prompt}; {_hint(section.prompt, prompts)}"


def _joining(named: str, known: Agents, cast: Cast, problems: list[str]) -> list[AgentPair]:
    """The pairs that a name under `add` means: for an agent, with every partner that is in a pair now."""
    if "+" in named:
        pair = _pair(named)
        parts = zip(ROLES, (pair.instruction, pair.response), strict=True)
        unknown = [(role, name) for role, name in parts if name not in _names(known, role)]
        problems += [
            f"add {named}: no {role} agent {name}; {_hint(name, _names(known, role))}" for role, name in unknown
        ]
        return [pair]
    found = _agent(named, known, "add", problems)
    if found is None:
        return []
    role, name = found
    taken = {*cast.base, *cast.pool}
    if role is Role.RESPONSE:
        joining = [AgentPair(partner, name) for partner in dict.fromkeys(pair.instruction for pair in _all(cast))]
    else:
        joining = [AgentPair(name, partner) for partner in dict.fromkeys(pair.response for pair in _all(cast))]
    joining = [pair for pair in joining if pair not in taken]
    if not joining:
        problems.append(f"add {named}: every pair of it is there already")
    return joining


def _leaving(named: str, known: Agents, cast: Cast, problems: list[str]) -> list[AgentPair]:
    """The pairs that a name under `retire` means."""
    if "+" in named:
        pair = _pair(named)
        if pair not in cast.pool and pair not in cast.base:  # a base pair is refused for what it is
            problems.append(f"retire {named}: not in the pool; {_hint(named, map(str, cast.pool))}")
        return [pair]
    found = _agent(named, known, "retire", problems)
    if found is None:
        return []
    role, name = found
    leaving = [pair for pair in cast.pool if _plays(pair, role, name)]
    if not leaving:
        problems.append(f"retire {named}: no pair of it is in the pool")
    return leaving


def _agent(named: str, known: Agents, verb: str, problems: list[str]) -> tuple[Role, str] | None:
    """Which agent a name means."""
    prefix, colon, rest = named.partition(":")
    name = rest if colon else named
    roles = [role for role in ROLES if name in known.of(role) and (not colon or role == prefix)]
    if len(roles) == 1:
        return roles[0], name
    if roles:
        told = f"agents of both roles are called so; write instruction:{name} or response:{name}"
        problems.append(f"{verb} {named}: {told}")
    else:
        every = {*known.instruction, *known.response}
        problems.append(f"{verb} {named}: no such agent; {_hint(name, every)}")
    return None


def _pair(named: str) -> AgentPair:
    instruction, _, response = named.partition("+")
    return AgentPair(instruction, response)


def _plays(pair: AgentPair, role: Role, name: str) -> bool:
    return name == (pair.instruction if role is Role.INSTRUCTION else pair.response)


def _all(cast: Cast) -> tuple[AgentPair, ...]:
    return (*cast.base, *cast.pool)


def _names(known: Agents, role: Role) -> set[str]:
    return {KEEP, *known.instruction} if role is Role.INSTRUCTION else set(known.response)


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names) or 'none'}"
