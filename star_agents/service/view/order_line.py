"""An order to a run in one line, for status, report and page. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from star_agents.storage.commands import Command, Outcome, Verb

MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class OrderLine:
    """What was ordered when, by which door, and what came of it. `told`: about what, and why it was not done."""

    id: int
    at: str
    actor: str
    verb: Verb
    outcome: Outcome
    told: str = ""


def order_line(command: Command) -> OrderLine:
    """The line of an order."""
    parts = [_subject(command.verb, command.body)]
    if command.outcome in {Outcome.REFUSED, Outcome.VOID} and isinstance(command.answer, list):
        parts += map(str, command.answer[:1])
    told = ": ".join(part for part in parts if part)
    return OrderLine(command.id, command.at, command.actor, command.verb, command.outcome, told[:MAX_CHARS])


def _subject(verb: Verb, body: Mapping[str, Any]) -> str:
    """What an order was about; of one that was too long to be kept, its beginning."""
    if "begins" in body:
        return str(body["begins"])
    match verb:
        case Verb.RETUNE:
            return " ".join(f"{path}={value}" for path, value in body.get("values", {}).items())
        case Verb.AGENTS:
            parts = [f"{what} {', '.join(body[what])}" for what in ("add", "retire") if body.get(what)]
            return f"{'; '.join(parts)} ({body.get('reason', '')})"
        case Verb.SEEDS:
            return f"{body.get('rows', 0)} rows"
        case _:
            return ""
