"""A value that must not be seen: every way of printing it shows a mask, and only `reveal` does not."""

import re
from collections.abc import Sequence
from typing import NoReturn

_KEY_LIKE = re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}|\b(sk|hf|pk|gsk|xai|api|key)[-_][a-z0-9_-]{16,}\b")
"""What looks like a key, wherever it came from: a server may quote one that is none of ours."""


class Secret:
    """An API key or token. `origin` says where it came from (`env:NAME`), and may be shown."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, *, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """The value itself; called where a header is built and nowhere else."""
        return self._value

    def mask(self, text: str) -> str:
        """`text` with the value blotted out, for what a server may echo."""
        return text.replace(self._value, "***") if self._value else text

    def __repr__(self) -> str:
        return f"Secret({self.origin})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")


class Mask:
    """Blots out the secrets of a run, and what looks like one."""

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        self._secrets = tuple(secrets)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = secret.mask(text)
        return _KEY_LIKE.sub(lambda found: f"{found.group(1) or ''}***", text)
