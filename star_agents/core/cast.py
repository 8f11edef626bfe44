"""Who takes part in a run."""

from collections.abc import Mapping
from dataclasses import dataclass

from star_agents.core.records import KEEP, Agent, AgentPair, Role


@dataclass(slots=True)
class Agents:
    """Every agent of a run by name; `keep` is not among them, for it asks nobody.

    Agents may join while a run goes on. Nobody leaves whose pairs were ever drawn: an open seed may still ask it.
    """

    instruction: Mapping[str, Agent]
    response: Mapping[str, Agent]

    def know(self, pair: AgentPair) -> bool:
        """Whether both agents of a pair are here."""
        return pair.response in self.response and pair.instruction in {KEEP, *self.instruction}

    def endpoints_of(self, pair: AgentPair) -> frozenset[str]:
        """The endpoints a pair needs: one, or two where the instruction is rewritten."""
        response = self.response[pair.response].endpoint
        if pair.instruction == KEEP:
            return frozenset((response,))
        return frozenset((response, self.instruction[pair.instruction].endpoint))

    def of(self, role: Role) -> Mapping[str, Agent]:
        """The agents of a role, by name."""
        return self.instruction if role is Role.INSTRUCTION else self.response

    def admit(self, agent: Agent) -> None:
        """One more takes part from now on."""
        self._put(agent.role, {**self.of(agent.role), agent.name: agent})

    def dismiss(self, agent: Agent) -> None:
        """Take back an `admit` of which nothing came: no pair of the agent was drawn."""
        self._put(agent.role, {name: one for name, one in self.of(agent.role).items() if name != agent.name})

    def _put(self, role: Role, agents: Mapping[str, Agent]) -> None:
        if role is Role.INSTRUCTION:
            self.instruction = agents
        else:
            self.response = agents
