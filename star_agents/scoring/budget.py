"""How many tokens a batch may have: doubled while memory is plentiful, halved where it ran out, and then left alone.

By the length of the longest sequence, in bins of powers of two, because what a token costs in memory depends on it.
A state machine without a clock or a device: it is told what fitted and what failed.

Laws: between 1 and the ceiling; a bin never again allows more than half of what has failed in it.
"""

from dataclasses import dataclass

_ROOM_TO_DOUBLE = 0.4
"""Share of the memory that a batch took at its peak, up to which one twice as large is tried: 0.8 is left for it."""


@dataclass(slots=True)
class _Bin:
    tokens: int
    has_failed: bool = False


class TokenBudget:
    """Learns what fits, from `start` tokens a batch up to `ceiling`."""

    def __init__(self, start: int, ceiling: int) -> None:
        self._ceiling = max(1, ceiling)
        self._start = min(max(1, start), self._ceiling)
        self._bins: dict[int, _Bin] = {}

    def allowed(self, longest: int) -> int:
        """Tokens of a batch whose longest sequence has `longest`."""
        found = self._bins.get(longest.bit_length())
        return found.tokens if found else self._start

    def fitted(self, longest: int, tokens: int, share: float) -> None:
        """A batch of `tokens` ran and took `share` of the memory at its peak. A small one tells nothing."""
        bin_ = self._bin(longest)
        if not bin_.has_failed and 2 * tokens > bin_.tokens and share <= _ROOM_TO_DOUBLE:
            bin_.tokens = min(2 * bin_.tokens, self._ceiling)

    def failed(self, longest: int, tokens: int) -> None:
        """A batch of `tokens` did not fit."""
        bin_ = self._bin(longest)
        bin_.has_failed = True
        bin_.tokens = max(1, min(bin_.tokens, tokens // 2))

    def _bin(self, longest: int) -> _Bin:
        return self._bins.setdefault(longest.bit_length(), _Bin(self._start))
