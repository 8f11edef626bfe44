"""A value that must not be seen: every way of printing it shows a mask, and only `reveal` does not."""

from typing import NoReturn


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
