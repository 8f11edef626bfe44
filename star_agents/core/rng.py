"""Chance by name: a draw depends on what it is for, never on which task happened to finish first.

`derive(17, "pairs", 42)` is the same generator today, tomorrow, and after a resume, so no generator
state is ever saved.
"""

import random
from hashlib import blake2b

_SEPARATOR = "\x1f"


def derive_int(run_seed: int, purpose: str, *ids: int | str, bits: int = 64) -> int:
    """A uniform integer of `bits` bits (at most 512) named by the run, the purpose and the ids."""
    name = _SEPARATOR.join((str(run_seed), purpose, *map(str, ids)))
    digest = blake2b(name.encode(), digest_size=(bits + 7) // 8).digest()
    return int.from_bytes(digest, "big") >> (-bits % 8)


def derive(run_seed: int, purpose: str, *ids: int | str) -> random.Random:
    """A generator of its own for one purpose; independent of every other purpose and id."""
    return random.Random(derive_int(run_seed, purpose, *ids))  # noqa: S311  # chance, not secrecy
