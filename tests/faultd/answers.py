"""What the server says: words made from the request alone, so that two runs hear the same.

A request is answered by its content: messages, seed and temperature. `max_tokens` only cuts the answer off,
one token a word, so that an answer asked for again with more room goes on where it stopped.
"""

import json
import random
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

VERDICT = "Verdict:"
"""A prompt that speaks of a verdict comes from a judge; it gets a reason and a final line with one."""
CHOICES = ("A", "B", "tie")
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
MIN_SENTENCES, MAX_SENTENCES = 3, 12


@dataclass(frozen=True, slots=True)
class Answer:
    """A text, why it ended, and the tokens it took."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def fingerprint(body: dict[str, Any]) -> str:
    """The request's identity: equal bodies, whatever the order of their keys, have equal ones."""
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def prompt_of(body: dict[str, Any]) -> str:
    """All the text of the request."""
    if "messages" in body:
        return "\n".join(str(turn.get("content")) for turn in body["messages"])
    return str(body.get("prompt"))


def answer(body: dict[str, Any]) -> Answer:
    """The one answer to this request."""
    prompt = prompt_of(body)
    chance = random.Random(json.dumps([prompt, body.get("seed"), body.get("temperature")]))
    text = f"Judged by chance.\n{VERDICT} {chance.choice(CHOICES)}" if VERDICT in prompt else _prose(chance)
    words = text.split(" ")
    limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or len(words))
    is_cut = limit < len(words)
    return Answer(
        text=" ".join(words[:limit]),
        finish_reason="length" if is_cut else "stop",
        prompt_tokens=len(prompt.split()),
        completion_tokens=min(limit, len(words)),
    )


def _prose(chance: random.Random) -> str:
    sentences = range(chance.randint(MIN_SENTENCES, MAX_SENTENCES))
    return " ".join(f"The {chance.choice(NOUNS)} {chance.choice(VERBS)} the {chance.choice(NOUNS)}." for _ in sentences)


def chat_reply(body: dict[str, Any], said: Answer) -> dict[str, Any]:
    """The answer as `POST /chat/completions` or `/completions` gives it, by the shape of the request."""
    is_chat = "messages" in body
    said_as = {"message": {"role": "assistant", "content": said.text}} if is_chat else {"text": said.text}
    return {
        "id": f"faultd-{fingerprint(body)}",
        "object": "chat.completion" if is_chat else "text_completion",
        "model": body.get("model"),
        "choices": [{"index": 0, "finish_reason": said.finish_reason, **said_as}],
        "usage": {
            "prompt_tokens": said.prompt_tokens,
            "completion_tokens": said.completion_tokens,
            "total_tokens": said.prompt_tokens + said.completion_tokens,
        },
    }
