"""Chance of a made-up world: numbers named by what they are for, cheap enough for a dozen calls a seed.

Law: what a name draws is the same in every process and whatever was drawn before it, as in `core.rng`.
"""

from statistics import NormalDist

from star_agents.core import rng

_BITS = 52
_SCALE = 2.0**-_BITS
_STANDARD = NormalDist()


def uniforms(count: int, run_seed: int, purpose: str, *ids: int | str) -> list[float]:
    """`count` independent numbers between 0 and 1, both left out; at most nine."""
    drawn = rng.derive_int(run_seed, purpose, *ids, bits=count * _BITS)
    mask = (1 << _BITS) - 1
    return [((drawn >> (_BITS * index) & mask) + 0.5) * _SCALE for index in range(count)]


def normal(uniform: float) -> float:
    """The standard normal number at this quantile."""
    return _STANDARD.inv_cdf(uniform)
