"""Attention over packs: a row's result is what it would be if its sequence stood alone in a batch of one.

Registered with transformers as attention functions that get the pack's `Sights` as a keyword from the model's caller,
and no mask. Two of them: `SLICES` runs everywhere and takes scaled dot-product attention look by look, so that no
(T, T) mask exists; `VARLEN` is one call of torch's variable-length FlashAttention, for half precision on a GPU. What
an architecture wants beyond causal attention with a window, neither can do, and they say so.

Shapes: T rows of the pack, Q queries and K keys of a look, H heads, G key-value heads, D head width.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from star_agents.scoring.forest import Forest
from star_agents.scoring.sight import Look, Rows, looks

SLICES = "star_agents_slices"
VARLEN = {torch.float16: "star_agents_varlen_float16", torch.bfloat16: "star_agents_varlen_bfloat16"}
"""By what queries, keys and values are rounded to, where they are not that already."""

_BLOCK = 512
"""Queries of a masked look: bounds the mask to (512, K)."""

_BEYOND_US = ("softcap", "s_aux", "position_bias", "head_mask", "cache")
"""Keywords of attention functions of transformers that change what attention computes."""


class UnsupportedAttentionError(Exception):
    """An architecture asks for an attention that packs do not have."""


class Ragged(NamedTuple):
    """A pack's looks as FlashAttention wants them: the rows of all keys, and where each look's part begins."""

    key_rows: Tensor | None
    """(sum of K,); None where the keys are the pack's own rows, in order."""
    query_starts: Tensor
    """(looks + 1,), int32."""
    key_starts: Tensor
    """(looks + 1,), int32."""
    most_queries: int
    most_keys: int


class Sights:
    """What each row of one pack sees, worked out once for all layers that have the same window."""

    def __init__(self, forest: Forest, device: torch.device, dtype: torch.dtype) -> None:
        self._forest = forest
        self._device = device
        self._dtype = dtype
        self._looks: dict[int | None, list[Look]] = {}
        self._ragged: dict[int | None, Ragged] = {}
        self._masks: dict[tuple[int, int, int | None], Tensor] = {}

    def looks(self, window: int | None) -> list[Look]:
        """All looks, those that need a mask in blocks."""
        if window not in self._looks:
            self._looks[window] = looks(self._forest, window, _BLOCK)
        return self._looks[window]

    def mask(self, look: Look, window: int | None) -> Tensor | None:
        """What to add to a look's scores (Q, K), or None where plain causal attention is right."""
        num_queries, num_keys = look.num_queries, look.num_keys
        if num_queries == num_keys and (window is None or num_keys <= window):
            return None
        size = (num_queries, num_keys, window)
        if size not in self._masks:
            self._masks[size] = self._make_mask(*size)
        return self._masks[size]

    def ragged(self, window: int | None) -> Ragged:
        """All looks as one call of FlashAttention takes them."""
        if window not in self._ragged:
            self._ragged[window] = self._make_ragged(looks(self._forest, window))
        return self._ragged[window]

    def _make_mask(self, num_queries: int, num_keys: int, window: int | None) -> Tensor:
        """0 where a query sees a key, else minus infinity; the sizes are aligned at the end."""
        query = torch.arange(num_keys - num_queries, num_keys, device=self._device)[:, None]
        key = torch.arange(num_keys, device=self._device)[None]
        hidden = key > query
        if window is not None:
            hidden |= key <= query - window
        return torch.zeros(hidden.shape, device=self._device, dtype=self._dtype).masked_fill_(hidden, -torch.inf)

    def _make_ragged(self, found: list[Look]) -> Ragged:
        rows = [row for look in found for part in look.keys for row in range(*part)]
        is_plain = rows == list(range(len(rows)))
        return Ragged(
            None if is_plain else torch.tensor(rows, device=self._device),
            self._starts([look.num_queries for look in found]),
            self._starts([look.num_keys for look in found]),
            max(look.num_queries for look in found),
            max(look.num_keys for look in found),
        )

    def _starts(self, sizes: list[int]) -> Tensor:
        return torch.tensor([0, *accumulate(sizes)], device=self._device, dtype=torch.int32)


def attend_by_slices(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,  # noqa: ANN401  # the interface of transformers: whatever an architecture passes
) -> tuple[Tensor, None]:
    """Attention of query (1, H, T, D) over key and value (1, G, T, D), as (1, T, H, D); see the module.

    Raises:
        UnsupportedAttentionError: the architecture asks for more.
    """
    sights, window, scale = _wanted(attention_mask, options)
    is_grouped = query.shape[1] != key.shape[1]
    out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    for look in sights.looks(window):
        first, last = look.queries
        mask = sights.mask(look, window)
        found = scaled_dot_product_attention(
            query[:, :, first:last],
            _take(key, look.keys),
            _take(value, look.keys),
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=is_grouped,
        )
        out[:, first:last] = found.transpose(1, 2)
    return out, None


def attend_ragged(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,  # noqa: ANN401  # as above
) -> tuple[Tensor, None]:
    """As `attend_by_slices`, in one kernel; for half precision on a GPU.

    Raises:
        UnsupportedAttentionError: the architecture asks for more.
    """
    from torch.nn.attention.varlen import varlen_attn  # not in every torch that we support

    sights, window, scale = _wanted(attention_mask, options)
    ragged = sights.ragged(window)
    rows = slice(None) if ragged.key_rows is None else ragged.key_rows
    found = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1)[rows],
        value[0].transpose(0, 1)[rows],
        ragged.query_starts,
        ragged.key_starts,
        ragged.most_queries,
        ragged.most_keys,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, Tensor)  # noqa: S101  # nothing else was asked for
    return found[None], None


def _wanted(attention_mask: Tensor | None, options: dict[str, Any]) -> tuple[Sights, int | None, float | None]:
    """The pack's sights, the layer's window and the scale of its scores."""
    strange = [name for name in _BEYOND_US if options.get(name) is not None]
    sights = options.get("sights")
    if strange or attention_mask is not None or not isinstance(sights, Sights):
        raise UnsupportedAttentionError(", ".join(strange) or "a mask of its own, or keywords that stay behind")
    return sights, options.get("sliding_window"), options.get("scaling")


def _take(states: Tensor, keys: tuple[Rows, ...]) -> Tensor:
    """Rows of (1, G, T, D); a view where they lie together."""
    parts = [states[:, :, first:last] for first, last in keys]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _rounding_to(dtype: torch.dtype) -> Callable[..., tuple[Tensor, None]]:
    """`attend_ragged` in `dtype`, whatever the rest of the model is in."""

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **options: Any,  # noqa: ANN401  # as above
    ) -> tuple[Tensor, None]:
        found, _ = attend_ragged(module, query.to(dtype), key.to(dtype), value.to(dtype), attention_mask, **options)
        return found.to(query.dtype), None

    return attend


AttentionInterface.register(SLICES, attend_by_slices)
for _dtype, _name in VARLEN.items():
    AttentionInterface.register(_name, _rounding_to(_dtype))
