"""Log probabilities for made-up tokens: plausible, ordered, and the same for the same answer.

Law: of the alternatives at one place the one that was said is the likeliest, all are below 0, and their
probabilities sum to at most 1. Where the answer was chosen from a list, the alternatives to the token that
decided are the other options, and their probabilities sum to 1.
"""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from star_agents.mock.answers import Answer

_OTHERS = (" the", " a", ".", ",", " and", " of", " to", " in", " is", " that")
_MIN_SHARE, _SHARE_SPAN = 0.5, 0.49
"""The token that was said has from a half to nearly all of the probability."""


def _share(*names: str) -> float:
    name = "\x1f".join(names).encode("utf-8", "surrogatepass")
    draw = int.from_bytes(blake2b(name, digest_size=4).digest(), "big") / 2**32
    return _MIN_SHARE + _SHARE_SPAN * draw


def alternatives(token: str, place: int, options: Sequence[str], source: str) -> list[tuple[str, float]]:
    """Tokens and their log probabilities at one place, the one that was said first."""
    share = _share(source, str(place), token)
    others = [other for other in (options or _OTHERS) if other != token]
    weights = [_share(source, str(place), other) for other in others]
    total = sum(weights) or 1.0
    rest = [((1 - share) * weight / total, other) for weight, other in zip(weights, others, strict=True)]
    likeliest = sorted(rest, reverse=True)
    ceiling = share * (1 - 1e-6)  # a share of a half is a tie with a single other
    return [(token, math.log(share)), *[(other, math.log(min(p, ceiling))) for p, other in likeliest]]


def _places(said: Answer, source: str) -> list[list[tuple[str, float]]]:
    """Alternatives at every token; the options belong to the token that is one of them."""
    return [
        alternatives(token, place, said.options if token in said.options else (), source)
        for place, token in enumerate(said.tokens)
    ]


def chat_logprobs(said: Answer, top: int, source: str) -> dict[str, Any]:
    """As `choices[].logprobs` of a chat completion."""
    return {"content": [chat_token(place, top) for place in _places(said, source)], "refusal": None}


def chat_token(place: Sequence[tuple[str, float]], top: int) -> dict[str, Any]:
    """One token of the above."""
    entries = [_entry(token, logprob) for token, logprob in place[: max(1, top)]]
    return {**entries[0], "top_logprobs": entries[:top]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def text_logprobs(said: Answer, top: int, source: str) -> dict[str, Any]:
    """As `choices[].logprobs` of a text completion."""
    places = _places(said, source)
    offsets, at = [], 0
    for token in said.tokens:
        offsets.append(at)
        at += len(token)
    return {
        "tokens": list(said.tokens),
        "token_logprobs": [place[0][1] for place in places],
        "top_logprobs": [dict(place[:top]) for place in places],
        "text_offset": offsets,
    }
