"""Before a model scores anything it is compared with itself: an unknown architecture can be refused, never be wrong.

Two questions, each asked with a few tokens: are our logits the model's own, and are states computed in packs those of
sequences computed alone. Nothing is decided by an architecture's name.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from star_agents.core.errors import ScorerError
from star_agents.scoring.attention import SLICES, VARLEN, Sights, UnsupportedAttentionError
from star_agents.scoring.conventions import Pass
from star_agents.scoring.ifd import Head
from star_agents.scoring.laying import Batch, lay_packed
from star_agents.scoring.memory import is_out_of_memory

_log = logging.getLogger(__name__)

_HEAD_TOKENS = 8
_TRUNK = (11, 7, 31, 5, 19, 3)
_PATHS = (
    (*_TRUNK, 13, 2, 17, 23, 29),
    (*_TRUNK, 13, 2, 17, 23, 8, 9, 10, 12),
    (*_TRUNK, 13, 2, 17, 23, 8, 9),
    (*_TRUNK, 6, 21),
    (37, 14, 15, 16, 18, 20, 22),
)
"""Sequences with a common trunk, two of them with a common bough, and one that stands alone."""

_WINDOW = 3
"""Windows of attention are this small while we compare, so that a few tokens are more than fit into one."""

_WINDOWS = ("sliding_window", "attention_chunk_size")

_MOST_DIFFERENT = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.08}
"""Largest norm of the difference, relative; half precision rounds, and another attention differs by far more."""


def states(network: PreTrainedModel, batch: Batch) -> Tensor:
    """Last hidden states (B, T, width) of a batch."""
    extra: dict[str, Any] = {}
    if batch.forest is not None and batch.positions is not None:
        extra["position_ids"] = batch.positions.to(network.device, non_blocking=True)
        extra["sights"] = Sights(batch.forest, network.device, network.dtype)
    ids = batch.ids.to(network.device, non_blocking=True)
    found: Tensor = network.base_model(input_ids=ids, use_cache=False, **extra).last_hidden_state
    return found


@torch.inference_mode()
def check_head(network: PreTrainedModel, head: Head) -> None:
    """Compare our logits with the model's own; numbers that are none on both sides are equal, and said of each sample.

    Raises:
        ScorerError: it does something behind its output matrix that `ifd.output_head` does not know.
    """
    ids = torch.arange(1, 1 + _HEAD_TOKENS, device=network.device)[None]
    own = network(input_ids=ids, use_cache=False).logits[0].float()
    ours = head(network.base_model(input_ids=ids, use_cache=False).last_hidden_state[0])
    largest = float(own.abs().nan_to_num(0.0, 0.0).max())
    if not torch.allclose(ours, own, rtol=1e-2, atol=1e-2 * largest, equal_nan=True):
        kind = type(network).__name__
        raise ScorerError(f"{kind} changes its logits in a way that the scorer does not know: use another model")


@torch.inference_mode()
def choose_attention(network: PreTrainedModel, dtype: torch.dtype) -> bool:
    """Set the quickest attention that packs can be computed with; False, and nothing set, where there is none.

    `dtype` is what attention may round to, as products do.

    Raises:
        torch.OutOfMemoryError: not even a few tokens fit.
    """
    own = network.config.get_text_config()._attn_implementation  # noqa: SLF001  # transformers has no public name
    kind = type(network).__name__
    if not network._can_set_attn_implementation():  # noqa: SLF001  # nor here
        _log.info("no packs: %s has an attention of its own", kind)
        return False
    with _narrow(network):
        alone = torch.cat([_alone(network, path) for path in _PATHS])
        for name in _candidates(network.device, dtype):
            network.set_attn_implementation(name)
            if _is_equal(network, alone, dtype):
                _log.info("packs: %s with %s", kind, name)
                return True
    network.set_attn_implementation(own)
    _log.info("no packs: %s computes something else in them", kind)
    return False


def _candidates(device: torch.device, dtype: torch.dtype) -> Sequence[str]:
    """Names of attention functions that the device has, the quickest first."""
    if device.type == "cuda" and dtype in VARLEN:
        return VARLEN[dtype], SLICES
    return (SLICES,)


def _is_equal(network: PreTrainedModel, alone: Tensor, dtype: torch.dtype) -> bool:
    """Whether a pack of all paths gives the states (tokens, width) of each path alone; errors of a model are a no."""
    passes = [Pass((*path, 0), 1) for path in _PATHS]
    batch = lay_packed(passes)
    try:
        packed = states(network, batch)[0, batch.rows.to(network.device)].float()
    except (UnsupportedAttentionError, ArithmeticError, AttributeError, ImportError, LookupError) as error:
        _log.debug("no packs: %r", error)
        return False
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        _log.debug("no packs: %r", error)
        return False
    if not bool(alone.isfinite().all()):
        return True  # broken weights: said of every sample, whichever way it is computed
    return float((packed - alone).norm()) <= _MOST_DIFFERENT[dtype] * float(alone.norm())


def _alone(network: PreTrainedModel, path: tuple[int, ...]) -> Tensor:
    """States (tokens, width) of a path, the way the model does it by itself."""
    ids = torch.tensor([path], device=network.device)
    found: Tensor = network.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return found[0].float()


@contextmanager
def _narrow(network: PreTrainedModel) -> Iterator[None]:
    """Make every window of the network `_WINDOW` tokens, wherever it is kept, and put back what was there."""
    kept: list[tuple[Any, str, int]] = []
    for owner in (network.config.get_text_config(), *network.modules()):
        for name in _WINDOWS:
            value = getattr(owner, name, None)
            if isinstance(value, int) and value > _WINDOW:
                kept.append((owner, name, value))
                setattr(owner, name, _WINDOW)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
