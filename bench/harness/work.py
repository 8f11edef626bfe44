"""What a set of samples costs a model at least, whichever way it is computed. Pure.

A token is useful once for each different beginning of text it ends: what two sequences begin with alike needs to be
computed once. The last token of a sequence is foreseen and never computed. Floating-point operations, a multiply-add
being two:

    2 * P * T           P weights of the layers, without embeddings and output matrix; T useful tokens
    4 * A * K           A heads times their width, over all layers; K pairs of a useful token and one that it sees
    2 * H * V * N       the output matrix at the N scored positions; H hidden width, V vocabulary
"""

from collections.abc import Iterable
from dataclasses import dataclass

from star_agents.scoring.conventions import Pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model, as far as its cost goes."""

    layer_weights: int
    attention_widths: tuple[tuple[int, int | None], ...]
    """Of each layer: heads times head width, and its window."""
    head_weights: int
    """Hidden width times vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Useful tokens, and scored positions."""

    tokens: int
    scored: int
    flops: float


def work_of(passes: Iterable[Pass], shape: Shape) -> Work:
    """The least work that gives the losses of all passes."""
    different = set(passes)
    tokens, sights = 0, [0] * len(shape.attention_widths)
    last: tuple[int, ...] = ()
    for ids in sorted(each.ids[:-1] for each in different):
        known = _common(last, ids)
        tokens += len(ids) - known
        for layer, (_, window) in enumerate(shape.attention_widths):
            sights[layer] += _seen(len(ids), window) - _seen(known, window)
        last = ids
    scored = sum(len(each.ids) - each.start for each in different)
    attention = sum(4.0 * width * seen for (width, _), seen in zip(shape.attention_widths, sights, strict=True))
    flops = 2.0 * shape.layer_weights * tokens + attention + 2.0 * shape.head_weights * scored
    return Work(tokens=tokens, scored=scored, flops=flops)


def _common(one: tuple[int, ...], two: tuple[int, ...]) -> int:
    """How many tokens two sequences begin with in common."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(two)))


def _seen(length: int, window: int | None) -> int:
    """Pairs of a token and one that it sees, itself included, in a sequence of so many."""
    inside = length if window is None else min(length, window)
    return inside * (inside + 1) // 2 + (length - inside) * inside
