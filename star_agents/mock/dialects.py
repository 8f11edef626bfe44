"""The three APIs that are spoken."""

from collections.abc import Mapping

from star_agents.mock.anthropic import Messages
from star_agents.mock.dialect import Dialect
from star_agents.mock.openai import Chat, Completions

DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": Chat(),
    "/v1/completions": Completions(),
    "/v1/messages": Messages(),
}
"""By path."""
