"""What the server says: words made from the request alone, so that two runs hear the same.

Law: an answer follows from the request's text, seed and temperature (and what it is constrained to), never from
when or how often it was asked. `max_tokens` only cuts it off, so that an answer asked for again with more room
goes on where it stopped. One word is one token, of prompts too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b, shake_128
from statistics import NormalDist
from typing import Any

import orjson

from star_agents.mock.constrained import constrained_words

VERDICT = "Verdict:"
"""A prompt that speaks of a verdict comes from a judge; it gets a reason and a final line with one."""
VERDICTS = ("A", "B", "tie")
NOUNS = (
    "water",
    "bread",
    "river",
    "stone",
    "paper",
    "light",
    "garden",
    "winter",
    "market",
    "letter",
    "engine",
    "bridge",
)
VERBS = ("carries", "holds", "follows", "turns", "keeps", "finds", "opens", "joins", "meets", "leaves")
_SENTENCES = tuple(f"The {one} {verb} the {other}." for one in NOUNS for verb in VERBS for other in NOUNS)
_SENTENCE_WORDS = 5
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How many tokens answers have: lognormal, by the request."""

    median: float = 35.0
    sigma: float = 0.45
    """Of the logarithm; 0 makes all answers equally long."""
    longest: int = 4096

    def draw(self, chance: float) -> int:
        """The length at a quantile within (0, 1)."""
        return max(1, min(round(lognormal(self.median, self.sigma, chance)), self.longest))


USUAL_LENGTHS = Lengths()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request. What makes it unusual is empty in a right one."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    words: Sequence[str] = ()
    """The tokens of the text: joined they are the text. Empty where nobody needs them apart."""
    options: Sequence[str] = ()
    """What a constrained answer was chosen from."""
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @property
    def tokens(self) -> Sequence[str]:
        """The text in tokens."""
        return self.words or tokens_of(self.text)


def fingerprint(body: Mapping[str, Any]) -> str:
    """The request's identity: equal bodies, whatever the order of their keys, have equal ones."""
    return blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def lognormal(median: float, sigma: float, chance: float) -> float:
    """The quantile of a lognormal distribution; `chance` within (0, 1)."""
    return median * math.exp(sigma * _NORMAL.inv_cdf(chance)) if sigma else median


def chance_of(*parts: object) -> float:
    """A number within (0, 1) that depends on nothing but the parts."""
    name = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return (int.from_bytes(blake2b(name, digest_size=6).digest(), "big") + 0.5) / 2**48


def prompt_of(body: Mapping[str, Any]) -> str:
    """All the text of the request: system, turns or prompt, whatever the API."""
    if "messages" in body:
        turns = [_text(turn.get("content")) for turn in body["messages"]]
        return "\n".join([_text(body["system"]), *turns] if "system" in body else turns)
    return _text(body.get("prompt"))


def _text(content: object) -> str:
    """A content that is a string, or a list of strings and of typed parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return str(content)


def tokens_of(text: str) -> list[str]:
    """The text in tokens, one a word with the blank before it; joined they are the text again."""
    first, *rest = text.split(" ")
    return [first, *[f" {word}" for word in rest]]


def answer(body: Mapping[str, Any], lengths: Lengths = USUAL_LENGTHS, seed: int = 0) -> Answer:
    """The one answer to this request.

    Raises:
        KeyError, TypeError, AttributeError: the body is no request (its messages are no list of objects, say).
    """
    prompt = prompt_of(body)
    source = f"{seed}\x1f{prompt}\x1f{body.get('seed')}\x1f{body.get('temperature')}".encode("utf-8", "surrogatepass")
    prompt_tokens = len(prompt.split())
    if constrained := constrained_words(body, source):
        words, options = constrained
        whole = Answer("".join(words), "stop", prompt_tokens, len(words), words, options)
    elif VERDICT in prompt:
        pick = shake_128(source).digest(2)
        whole = _plain(f"Judged by chance.\n{VERDICT} {VERDICTS[int.from_bytes(pick, 'big') % 3]}", prompt_tokens)
    else:
        whole = _prose(source, prompt_tokens, lengths)
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    return whole if limit is None else cut_to(whole, max(1, int(limit)))


def cut_to(said: Answer, limit: int) -> Answer:
    """The answer as far as so many tokens go."""
    if limit >= said.completion_tokens:
        return said
    words = said.tokens[:limit]
    kept = words if said.words else ()
    return replace(said, text="".join(words), finish_reason="length", completion_tokens=limit, words=kept)


def _plain(text: str, prompt_tokens: int) -> Answer:
    return Answer(text, "stop", prompt_tokens, text.count(" ") + 1)


def _prose(source: bytes, prompt_tokens: int, lengths: Lengths) -> Answer:
    length = lengths.draw((int.from_bytes(shake_128(source).digest(6), "big") + 0.5) / 2**48)
    count = -(-length // _SENTENCE_WORDS)
    picks = shake_128(source + b"\x1fprose").digest(2 * count)
    text = " ".join([_SENTENCES[(picks[at] << 8 | picks[at + 1]) % len(_SENTENCES)] for at in range(0, 2 * count, 2)])
    if length % _SENTENCE_WORDS:
        text = text.rsplit(" ", _SENTENCE_WORDS - length % _SENTENCE_WORDS)[0]
    return Answer(text, "stop", prompt_tokens, length)
