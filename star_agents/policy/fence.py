"""A fence no text can forge: a random token, drawn after the text is known.

Law: the token occurs in none of the texts it fences, so no text can close its own fence or open another's.
"""

from collections.abc import Sequence
from random import Random

TOKEN_BITS = 48


def draw_token(rng: Random, texts: Sequence[str]) -> str:
    """Twelve hexadecimal digits that occur in none of `texts`, whatever their case."""
    lowered = [text.lower() for text in texts]
    while True:
        token = f"{rng.getrandbits(TOKEN_BITS):0{TOKEN_BITS // 4}x}"
        if not any(token in text for text in lowered):
            return token


def fenced(label: str, token: str, text: str) -> str:
    """The text between two lines that carry the token; the text itself is not touched."""
    return f"<{label} {token}>\n{text}\n</{label} {token}>"
