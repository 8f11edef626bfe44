"""Losses of chosen tokens, from hidden states, without ever holding the logits of a batch.

Only scored positions meet the output matrix, and a chunk of them at a time, so peak memory does not grow with tokens
times vocabulary. Log-softmax is float32 whatever the model's dtype. Nothing here knows text, prompts or IFD's ratio.

Shapes: N scored tokens of all passes, H hidden width, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from star_agents.scoring.products import even

Head = Callable[[Tensor], Tensor]
"""Hidden states (N, H) to float32 logits (N, V)."""

_CPU_CHUNK = 1 << 22
"""Logits held at once: 16 MiB of float32, which stay in a CPU's cache while their softmax is taken."""

_GPU_CHUNK = 1 << 27
"""512 MiB on a GPU, which wants a thousand rows in a product."""


def output_head(network: PreTrainedModel) -> Head:
    """The way from hidden states to logits, with what the model's config puts behind the output matrix.

    Gemma 2 caps logits softly, Cohere and Falcon-H1 multiply them, Granite divides.
    """
    project = network.get_output_embeddings()
    config = network.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    factor = 1.0
    for name in ("logit_scale", "lm_head_multiplier"):
        factor *= getattr(config, name, None) or 1.0
    factor /= getattr(config, "logits_scaling", None) or 1.0

    def head(hidden: Tensor) -> Tensor:
        logits: Tensor = project(hidden).float() * factor
        return torch.tanh(logits / cap) * cap if cap else logits

    return head


def token_nll(hidden: Tensor, targets: Tensor, head: Head, chunk: int) -> Tensor:
    """Negative log-likelihood (N,) in nats of `targets` (N,) after `hidden` (N, H), `chunk` tokens at a time."""
    count = len(targets)
    rest = even(count) - count
    hidden, targets = functional.pad(hidden, (0, 0, 0, rest)), functional.pad(targets, (0, rest))
    pieces = zip(torch.split(hidden, chunk), torch.split(targets, chunk), strict=True)
    losses = [functional.cross_entropy(head(state), target, reduction="none") for state, target in pieces]
    return torch.cat(losses)[:count]


def mean_nll(
    scored: Tensor, targets: Tensor, counts: Sequence[int], head: Head, chunk: int | None = None
) -> list[float]:
    """Mean negative log-likelihood in nats of each pass's scored tokens; NaN or infinite where the model is.

    Args:
        scored: last hidden states (N, H) at the positions before the scored tokens, one pass after another.
        targets: the scored tokens (N,).
        counts: how many of them each pass has.
        head: hidden states to logits.
        chunk: tokens projected at once; by default what the device is quickest with.
    """
    nll = token_nll(scored, targets, head, chunk or _chunk_for(head, scored)).double().cpu()  # (N,)
    means: list[float] = torch.stack([part.mean() for part in torch.split(nll, list(counts))]).tolist()
    return means


def _chunk_for(head: Head, hidden: Tensor) -> int:
    """How many tokens may be projected at once, given the vocabulary's size."""
    vocabulary = head(hidden[:1]).shape[-1]
    most = (_CPU_CHUNK if hidden.device.type == "cpu" else _GPU_CHUNK) // vocabulary
    return max(16, most // 16 * 16)  # so that the last chunk is even too
