"""Holding a server to one of a few answers, and reading how probable each was. No I/O.

Law: probabilities are told only where the server's own numbers decide between the choices at one token, and a
reply that cannot be read so has none. Nothing is guessed from text here.

How servers are asked: vLLM by `structured_outputs` (since 0.11) or `guided_choice` (before), OpenAI and most
others by a JSON schema with an enumeration. Probabilities come from `logprobs` with `top_logprobs`.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from star_agents.endpoints.formats.wire import load_json
from star_agents.endpoints.spec import Choices

TOP_LOGPROBS = 20
"""The most that OpenAI and vLLM tell of one token."""
MIN_MASS = 0.01
"""Where all choices together are less probable than this, their ratios are noise of a model that meant to say else."""
_FIELD = "choice"
_OPENING = re.compile(rf'\s*\{{\s*"{_FIELD}"\s*:\s*"')
_MAX_TOKENS_READ = 64


class Token(NamedTuple):
    """One token that was written, and the logarithms of the probabilities of those that could have been."""

    text: str
    alternatives: Mapping[str, float]


def asked(mode: Choices, choices: Sequence[str], *, is_chat: bool) -> dict[str, Any]:
    """The fields of a request body that hold a server to `choices` and ask how probable they were."""
    if mode in {"auto", "none"}:
        return {}
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if is_chat else {"logprobs": TOP_LOGPROBS}
    if mode == "structured_outputs":
        fields["structured_outputs"] = {"choice": list(choices)}
    elif mode == "guided_choice":
        fields["guided_choice"] = list(choices)
    elif mode == "json_schema":
        fields["response_format"] = _schema(choices)
    return fields


def _schema(choices: Sequence[str]) -> dict[str, Any]:
    properties = {_FIELD: {"type": "string", "enum": list(choices)}}
    schema = {"type": "object", "properties": properties, "required": [_FIELD], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": _FIELD, "strict": True, "schema": schema}}


def unwrapped(text: str) -> str:
    """The choice that a reply to the JSON schema holds; any other text as it is."""
    if not _OPENING.match(text):
        return text
    try:
        payload = load_json(text.encode("utf-8", "replace"))
    except ValueError:
        return text
    choice = payload.get(_FIELD) if isinstance(payload, dict) else None
    return choice if isinstance(choice, str) and choice else text


def probabilities(text: str, tokens: Sequence[Token], choices: Sequence[str]) -> dict[str, float] | None:
    """The share of each choice at the token that decided, or None where no token did.

    `text` is the answer as it was written, `tokens` all that was (thinking may stand before the answer). A choice
    that is not among the alternatives has the share 0.
    """
    start = _start(text, "".join(token.text for token in tokens))
    if start is None:
        return None
    for prefix, skipped, token in _from(start, tokens):
        decided = _match(prefix + token.text[skipped:], choices)
        if len(decided) > 1:
            continue
        return _shares(prefix, skipped, token, choices) if decided else None
    return None


def _start(text: str, written: str) -> int | None:
    """Where the choice begins in what was written."""
    answer = text.strip()
    begins = len(written) - len(written.lstrip())
    at = begins if written.startswith(answer, begins) else written.rfind(answer)
    if not answer or at < 0:
        return None
    opening = _OPENING.match(answer)
    return at + (opening.end() if opening else 0)


def _from(start: int, tokens: Sequence[Token]) -> Iterator[tuple[str, int, Token]]:
    """The tokens from `start` on: what was written of the choice before each, and its characters that come before."""
    prefix, at, seen = "", 0, 0
    for token in tokens:
        end = at + len(token.text)
        if end > start:
            skipped = max(start - at, 0)
            yield prefix, skipped, token
            prefix += token.text[skipped:]
            seen += 1
        if seen == _MAX_TOKENS_READ:
            return
        at = end


def _shares(prefix: str, skipped: int, token: Token, choices: Sequence[str]) -> dict[str, float] | None:
    mass = dict.fromkeys(choices, 0.0)
    for text, logprob in token.alternatives.items():
        matched = _match(prefix + _said(text, token.text[:skipped], is_first=not prefix), choices)
        if len(matched) == 1:
            mass[matched[0]] += math.exp(min(logprob, 0.0))
    total = sum(mass.values())
    return {choice: share / total for choice, share in mass.items()} if total >= MIN_MASS else None


def _said(text: str, lead: str, *, is_first: bool) -> str:
    """What a token says of the choice; `lead` is what it must say before, where blanks are as good as nothing."""
    if lead.strip():
        return text[len(lead) :] if text.startswith(lead) else ""
    return text.lstrip() if is_first else text


def _match(said: str, choices: Sequence[str]) -> list[str]:
    """The choices that `said` may be the beginning of, or is with something behind it that is no letter or digit."""
    if not said:
        return list(choices)
    return [
        choice
        for choice in choices
        if choice.startswith(said) or (said.startswith(choice) and not said[len(choice)].isalnum())
    ]
