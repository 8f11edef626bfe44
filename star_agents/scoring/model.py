"""One causal language model on one device: passes in, mean losses out, in order, whatever the batching.

The only module that runs a language model. Weights come from a hub id or a folder; code comes from neither.
"""

import gc
import logging
import sys
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from star_agents.core.errors import ScorerError
from star_agents.scoring.conventions import Pass
from star_agents.scoring.ifd import Head, mean_nll, output_head
from star_agents.scoring.packing import pack, unpack
from star_agents.scoring.settings import DtypeName
from star_agents.scoring.tokens import Tokens

_log = logging.getLogger(__name__)

_CPU_BATCH_TOKENS = 2048
"""Two cores are busy with this much; more only pads more."""

_GPU_BATCH_TOKENS = 16384

_PROBE_TOKENS = 8


class LanguageModel:
    """A loaded model and its tokenizer.

    Raises:
        ScorerError: the architecture does something behind its output matrix that `ifd.output_head` does not know.
    """

    def __init__(self, network: PreTrainedModel, tokens: Tokens, batch_tokens: int | None = None) -> None:
        self.tokens = tokens
        self._network = network
        self._head: Head = output_head(network)
        self._device = network.device
        self._batch_tokens = batch_tokens or (_CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS)
        self._check_head()

    @classmethod
    def load(cls, name: str, *, device: str, dtype: DtypeName, batch_tokens: int | None = None) -> Self:
        """Load a hub id or a folder. `auto` is bfloat16 on a GPU and float32 on a CPU, whatever the files hold."""
        chosen = dtype if dtype != "auto" else "float32" if device == "cpu" else "bfloat16"
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        network = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False, dtype=getattr(torch, chosen))
        network = network.to(device).eval()
        _log.info("model loaded: name=%s device=%s dtype=%s", name, device, chosen)
        return cls(network, Tokens(tokenizer, network.config.get_text_config()), batch_tokens)

    @property
    def window(self) -> int:
        """The longest sequence the model has positions for; without bound where its config names none."""
        return getattr(self._network.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize

    def nll(self, passes: Sequence[Pass]) -> list[float | None]:
        """Mean loss of each pass in nats, perhaps NaN; None for a pass that does not fit in memory even alone."""
        batches = pack([len(each.ids) for each in passes], self._batch_tokens)
        return unpack(batches, [self._halving([passes[index] for index in batch]) for batch in batches])

    def _halving(self, passes: list[Pass]) -> list[float | None]:
        """Run a batch; where memory is short, its halves, down to one."""
        found = self._attempt(passes)
        if found is not None:
            return [*found]
        # Here the failed attempt's frame is gone, and with it the tensors that its traceback held.
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning("out of memory: passes=%d longest=%d", len(passes), max(len(each.ids) for each in passes))
        if len(passes) == 1:
            return [None]
        middle = len(passes) // 2
        return self._halving(passes[:middle]) + self._halving(passes[middle:])

    def _attempt(self, passes: list[Pass]) -> list[float] | None:
        """One forward pass, or None where memory ran out."""
        try:
            return self._forward(passes)
        except RuntimeError as error:
            if _is_out_of_memory(error):
                return None
            raise

    @torch.inference_mode()
    def _forward(self, passes: list[Pass]) -> list[float]:
        """One forward pass over B padded sequences.

        Padding is on the right and attention looks left, so no scored token sees it and no mask is needed.
        """
        longest = max(len(each.ids) for each in passes)
        padded = [(*each.ids, *[0] * (longest - len(each.ids))) for each in passes]
        return mean_nll(self._hidden(torch.tensor(padded, device=self._device)), passes, self._head)

    def _hidden(self, ids: Tensor) -> Tensor:
        """Last hidden states (B, T, H) of ids (B, T)."""
        hidden: Tensor = self._network.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return hidden

    @torch.inference_mode()
    def _check_head(self) -> None:
        """Compare our logits with the model's own on a few tokens, so that an unknown architecture cannot be wrong."""
        ids = torch.arange(1, 1 + _PROBE_TOKENS, device=self._device)[None]
        own = self._network(input_ids=ids, use_cache=False).logits[0].float()
        ours = self._head(self._hidden(ids)[0])
        if not torch.allclose(ours, own, rtol=1e-2, atol=1e-2 * float(own.abs().max()), equal_nan=True):
            kind = type(self._network).__name__
            raise ScorerError(f"{kind} changes its logits in a way that the scorer does not know: use another model")


def _is_out_of_memory(error: RuntimeError) -> bool:
    """True for a GPU's out-of-memory error, and for the CPU allocator's, which has no class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
