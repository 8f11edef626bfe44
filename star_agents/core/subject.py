"""Which seeds the running task works for: said by a stage whose port is not told, read by whoever watches that port.

Law: nothing that is decided depends on it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_SEEDS: ContextVar[tuple[int, ...]] = ContextVar("seeds", default=())


@contextmanager
def working_for(seeds: Sequence[int]) -> Iterator[None]:
    """Inside, and in tasks that are begun inside, `seeds_at_hand` are these."""
    token = _SEEDS.set(tuple(seeds))
    try:
        yield
    finally:
        _SEEDS.reset(token)


def seeds_at_hand() -> tuple[int, ...]:
    """The numbers of the seeds that are worked for; empty where nobody said."""
    return _SEEDS.get()
