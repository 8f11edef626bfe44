"""Going on with a run whose pool was changed while it ran.

Law: the pool is what the store says, never what the config says. A config is taken that has the pool the run was
begun with, or the one it has now; whoever edits the file to match is as right as who leaves it alone. What rules
were given numbers by (`rate: auto`) stays the pool that the run was begun with, so that the weights remain the fold
of the log.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from star_agents.core.cast import Agents
from star_agents.core.errors import ConfigError
from star_agents.core.records import Agent, AgentPair, Plan
from star_agents.policy.epochs import pairs_at
from star_agents.service.config.settings import Settings
from star_agents.service.run.identity import differences_besides_pool
from star_agents.service.run.job import Inputs
from star_agents.storage.recovery import Standing

RESTORE = "restore it, or start a new run in another run.dir"


def same_run(standing: Standing, settings: Settings, inputs: Inputs) -> Inputs:
    """The inputs to go on with, agents included that joined while the run ran.

    Raises:
        ConfigError: it is another run, or its pool is neither the one begun with nor today's; one line a difference.
    """
    begun = standing.manifest
    agents = Agents(inputs.agents.instruction, inputs.agents.response)
    problems = [f"{line}; {RESTORE}" for line in differences_besides_pool(begun.config, inputs.manifest.config)]
    problems += _pool_problems(standing, inputs.pool)
    for agent in (agent for epoch in standing.epochs for agent in epoch.agents):
        problems += _joined(agent, agents, settings)
    if problems:
        raise ConfigError(*problems)
    check_cast(pairs_at(begun.pairs, standing.epochs), agents, "it is in the pool of this run: leave it in the config")
    manifest = replace(inputs.manifest, pairs=begun.pairs)
    return replace(inputs, agents=agents, pool=begun.pairs, manifest=manifest)


def check_open(plans: Sequence[Plan], agents: Agents) -> None:
    """Refuse to go on without an agent that seeds in flight still ask.

    Raises:
        ConfigError: so it is; each agent with its mend.
    """
    pairs = [slot.pair for plan in plans for slot in plan.slots]
    check_cast(pairs, agents, "open seeds still ask it: leave it in the config until they are done, drawn or not")


def check_cast(pairs: Sequence[AgentPair], agents: Agents, told: str) -> None:
    """Refuse pairs of agents that nobody knows.

    Raises:
        ConfigError: there are some.
    """
    missing = Counter(pair for pair in pairs if not agents.know(pair))
    lost = {f"agents.response.{pair.response}" for pair in missing if pair.response not in agents.response}
    lost |= {f"agents.instruction.{pair.instruction}" for pair in missing if pair.response in agents.response}
    if lost:
        raise ConfigError(*(f"{path}: {told}" for path in sorted(lost)))


def _pool_problems(standing: Standing, pool: tuple[AgentPair, ...]) -> list[str]:
    begun, current = standing.manifest.pairs, pairs_at(standing.manifest.pairs, standing.epochs)
    if set(pool) in (set(begun), set(current)):
        return []
    what = "differs from the pool this run was begun with"
    if standing.epochs:
        last = standing.epochs[-1]
        what = f"is neither the pool this run was begun with nor the one it has since version {last.version}"
    lacks = [str(pair) for pair in current if pair not in pool]
    besides = [str(pair) for pair in pool if pair not in current]
    parts = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(besides)} besides"] * bool(besides)
    mend = "restore it, and change the pool of the running run with `star-agents agents`"
    return [f"pairs.pool: {what}: it {' and '.join(parts)}; {mend}"]


def _joined(agent: Agent, agents: Agents, settings: Settings) -> list[str]:
    """Let an agent join again that joined while the run ran."""
    path = f"agents.{agent.role}.{agent.name}"
    known = agents.of(agent.role).get(agent.name)
    if known is not None:
        same = known.version == agent.version and known.endpoint == agent.endpoint
        return [] if same else [f"{path}: another agent of this name joined while the run ran; choose another name"]
    if agent.endpoint not in settings.endpoints:
        return [f"endpoints.{agent.endpoint}: {path}, which joined while the run ran, needs it; leave it in the config"]
    agents.admit(agent)
    return []
