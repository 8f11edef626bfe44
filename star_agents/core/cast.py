"""Who takes part in a run."""

from collections.abc import Mapping
from dataclasses import dataclass

from star_agents.core.records import KEEP, Agent, AgentPair


@dataclass(frozen=True, slots=True)
class Agents:
    """Every agent of a run by name; `keep` is not among them, for it asks nobody."""

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
