"""Text becomes ids in exactly three ways, and no other module calls a tokenizer.

- `plain`: data. Nothing is added, and special-token text inside it is plain text.
- `prompt`: a template around data. The template's own special tokens count, those spelled in the data do not.
- `native`: whatever the tokenizer does by itself, as the public IFD programs take it.
"""

import re
from collections.abc import Sequence

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from star_agents.core.errors import ScorerError
from star_agents.scoring.templates import Piece


class Tokens:
    """A tokenizer of transformers, and the anchor that its model begins a text with.

    Raises:
        ScorerError: neither the tokenizer nor the model's config knows a token to begin with.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
        self.tokenizer = tokenizer
        self.anchor = _anchor(tokenizer, config)
        special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        # Longest first, so that a token is never taken for another that is its beginning.
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")

    def plain(self, text: str) -> list[int]:
        """Ids of data: no token is added and none is special."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def prompt(self, pieces: Sequence[Piece]) -> list[int]:
        """Ids of a prompt, as if special-token text in its data were no more than text."""
        if any(self._special.search(piece.text) for piece in pieces if piece.is_data):
            return self._piecewise(pieces)
        text = "".join(piece.text for piece in pieces)
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False))

    def native(self, text: str, limit: int | None = None) -> list[int]:
        """Ids with the special tokens that the tokenizer adds and reads by itself; it cuts them to `limit` ids."""
        if limit is None:
            return list(self.tokenizer.encode(text))
        return list(self.tokenizer.encode(text, truncation=True, max_length=limit))

    def _piecewise(self, pieces: Sequence[Piece]) -> list[int]:
        """Split at the template's special tokens, as the tokenizer would, and take every run between as plain."""
        ids: list[int] = []
        run = ""
        for piece in pieces:
            done = 0
            matches = () if piece.is_data else self._special.finditer(piece.text)
            for match in matches:
                ids += self.plain(run + piece.text[done : match.start()])
                ids.append(self.tokenizer.convert_tokens_to_ids(match.group()))
                run, done = "", match.end()
            run += piece.text[done:]
        return ids + self.plain(run)


def _anchor(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> int:
    """BOS, or EOS where the model has none. A tokenizer may have lost its BOS, so the config is asked as well."""
    for name in ("bos_token_id", "eos_token_id"):
        for owner in (tokenizer, config):
            found = getattr(owner, name, None)
            if isinstance(found, list | tuple):
                found = found[0] if found else None
            if found is not None:
                return int(found)
    raise ScorerError("the model has neither a BOS nor an EOS token, so nothing can stand before its first token")
