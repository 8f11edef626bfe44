"""Which replica a key belongs to: rendezvous hashing (Thaler and Ravishankar 1998).

Law: the answer depends on the key and the replicas alone, the same in every process; taking a replica away moves
only the keys that were its own, and each to a replica that follows from the key.
"""

from collections.abc import Iterable

_MASK = (1 << 64) - 1


def preferred(key: int, replicas: Iterable[int]) -> int:
    """Of the replicas, given by number, the one that `key` belongs to.

    Raises:
        ValueError: there is none.
    """
    mixed = _mix(key & _MASK)
    return max((_mix(mixed ^ (replica + 1)), replica) for replica in replicas)[1]


def _mix(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input moves every bit out."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
