"""Tilting a draw towards idle capacity, by a known amount.

Laws: the tilted weights add up to 1; each is at least `keep` times the weight it comes from, so an importance weight
p/q is at most 1/keep; where all are equally idle, or the strength is 0, nothing changes; a weight of 0 stays 0; and
more idle never means less likely. What is drawn is drawn by what is returned, and that is the propensity to store.
"""

import math
from collections.abc import Sequence

KEEP = 0.5


def tilt(p: Sequence[float], idle: Sequence[float], strength: float, keep: float = KEEP) -> tuple[float, ...]:
    """Weights q from weights p and the idle share, in [0, 1], of each pair's endpoints.

    q = keep * p + (1 - keep) * p * exp(strength * idle) / sum(p * exp(strength * idle)), with p normalised first.

    Raises:
        ValueError: the lengths differ, the strength is negative, `keep` is not in (0, 1], or no weight is positive.
    """
    total = math.fsum(p)
    if len(p) != len(idle) or strength < 0.0 or not 0.0 < keep <= 1.0 or not total > 0.0:
        raise ValueError("weights and idle shares must match, the strength be at least 0, and some weight positive")
    if not strength:
        return tuple(weight / total for weight in p)
    leaning = [weight * math.exp(strength * (share - 1.0)) for weight, share in zip(p, idle, strict=True)]
    weight_of_leaning = math.fsum(leaning)
    return tuple(
        keep * weight / total + (1.0 - keep) * lean / weight_of_leaning for weight, lean in zip(p, leaning, strict=True)
    )
