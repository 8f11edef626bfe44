"""What one API's way to write down answers is.

Law: whole or streamed, in every dialect, the same `Answer` says the same. Nothing here is drawn or timed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from star_agents.mock.answers import Answer

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; `data` is JSON, or a text that is sent as it is. Tokens are paced, the rest is not."""

    data: Json | str
    name: str | None = None
    is_token: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request shapes the reply to it."""

    model: str
    name: str
    """The fingerprint: replies are called after it."""
    streams: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None


class Dialect(ABC):
    """How one API writes down answers."""

    @abstractmethod
    def asked(self, body: Mapping[str, Any], name: str) -> Asked:
        """Read a request."""

    @abstractmethod
    def reply(self, said: Answer, asked: Asked) -> Json:
        """The answer whole."""

    @abstractmethod
    def events(self, said: Answer, asked: Asked) -> Iterator[Event]:
        """The answer as a stream."""

    @abstractmethod
    def token_event(self, token: str, asked: Asked) -> Event:
        """A piece of the text of a stream."""

    @abstractmethod
    def error(self, status: int, error: Mapping[str, Any]) -> Json:
        """The body of a bad status; `error` is as OpenAI writes it."""
