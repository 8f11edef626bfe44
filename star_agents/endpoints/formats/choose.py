"""Which wire format an endpoint speaks: chosen once, from its spec."""

from collections.abc import Mapping

from star_agents.endpoints.formats.anthropic import MESSAGES
from star_agents.endpoints.formats.openai import CHAT, COMPLETIONS
from star_agents.endpoints.formats.protocol import WireFormat
from star_agents.endpoints.spec import Api, EndpointSpec

FORMATS: Mapping[Api, WireFormat] = {"chat": CHAT, "completions": COMPLETIONS, "messages": MESSAGES}


def format_of(spec: EndpointSpec) -> WireFormat:
    """The format of an endpoint's API."""
    return FORMATS[spec.api]
