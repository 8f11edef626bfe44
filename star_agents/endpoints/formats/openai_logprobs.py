"""OpenAI's two shapes of log probabilities, read into one. Whatever is not in shape ends the reading."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from star_agents.endpoints.formats.choices import Token


def chat_tokens(logprobs: object) -> tuple[Token, ...]:
    """`logprobs.content` of a chat reply: one object a token, its rivals in `top_logprobs`."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return ()
    tokens: list[Token] = []
    for entry in content:
        told = _told(entry)
        if told is None:
            break
        rivals = entry.get("top_logprobs")
        listed = [_told(rival) for rival in rivals] if isinstance(rivals, list) else []
        tokens.append(Token(told[0], dict([*(each for each in listed if each is not None), told])))
    return tuple(tokens)


def _told(entry: Any) -> tuple[str, float] | None:  # noqa: ANN401  # JSON
    if not isinstance(entry, dict):
        return None
    token, logprob = entry.get("token"), entry.get("logprob")
    return (token, float(logprob)) if isinstance(token, str) and _is_logprob(logprob) else None


def plain_tokens(logprobs: object) -> tuple[Token, ...]:
    """`logprobs` of a plain completion: parallel lists of tokens, their numbers, and mappings of their rivals."""
    if not isinstance(logprobs, dict):
        return ()
    lists = [logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")]
    if not all(isinstance(each, list) for each in lists):
        return ()
    tokens: list[Token] = []
    for text, logprob, rivals in zip(*lists, strict=False):
        if not isinstance(text, str) or not _is_logprob(logprob):
            break
        known = _rivals(rivals) if isinstance(rivals, dict) else {}
        tokens.append(Token(text, known | {text: float(logprob)}))
    return tuple(tokens)


def _rivals(rivals: Mapping[str, Any]) -> dict[str, float]:
    return {text: float(logprob) for text, logprob in rivals.items() if _is_logprob(logprob)}


def _is_logprob(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
