"""One causal language model on one device: passes in, mean losses out, in order, whatever the batching.

Weights come from a hub id or a folder; code comes from neither. `plan` needs no device and no lock: one thread may
plan while another runs.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from star_agents.scoring.budget import TokenBudget
from star_agents.scoring.conventions import Pass
from star_agents.scoring.ifd import Head, mean_nll, output_head
from star_agents.scoring.laying import Batch, lay_packed, lay_padded
from star_agents.scoring.memory import Gauge, is_out_of_memory
from star_agents.scoring.packing import pack_padded, pack_shared, unpack
from star_agents.scoring.probe import check_head, choose_attention, states
from star_agents.scoring.products import Precision, choose_precision, lay_products
from star_agents.scoring.settings import DtypeName
from star_agents.scoring.tokens import Tokens

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Batches that are ready for the device, and which passes, by their place in what was asked, are in each."""

    batches: tuple[Batch, ...]
    members: tuple[tuple[int, ...], ...]


class LanguageModel:
    """A loaded model and its tokenizer.

    `products` is the dtype of its matrix products, where it is not that of the network: attention may take it too.
    `is_packed` is whether passes are computed in packs (`forest`), or padded: the same losses, more slowly.

    Raises:
        ScorerError: the architecture does something behind its output matrix that `ifd.output_head` does not know.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokens: Tokens,
        batch_tokens: int | None = None,
        *,
        may_pack: bool = True,
        products: torch.dtype | None = None,
    ) -> None:
        self.tokens = tokens
        self._network = network
        self._head: Head = output_head(network)
        self._border = _rope_border(network)
        check_head(network, self._head)
        self.is_packed = may_pack and choose_attention(network, products or network.dtype)
        self._gauge = Gauge(network)
        start, ceiling = (batch_tokens, batch_tokens) if batch_tokens else (self._gauge.start, self._gauge.ceiling)
        self._budget = TokenBudget(start, ceiling)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str,
        dtype: DtypeName,
        batch_tokens: int | None = None,
        precision: Precision | None = None,
    ) -> Self:
        """Load a hub id or a folder, in the numbers that `dtype` means on the device, or in those of `precision`."""
        chosen = precision or choose_precision(dtype, device)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        network = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False, dtype=chosen.body)
        lay_products(network, chosen, device)
        network = network.eval() if device == "cpu" else network.to(device).eval()
        _log.info("model loaded: name=%s device=%s %s", name, device, chosen)
        tokens = Tokens(tokenizer, network.config.get_text_config())
        return cls(network, tokens, batch_tokens, products=chosen.products)

    @property
    def window(self) -> int:
        """The longest sequence the model has positions for; without bound where its config names none."""
        return getattr(self._network.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize

    def nll(self, passes: Sequence[Pass]) -> list[float | None]:
        """Mean loss of each pass in nats, perhaps NaN; None for a pass that does not fit in memory even alone."""
        return self.run(self.plan(passes))

    def plan(self, passes: Sequence[Pass]) -> Plan:
        """Lay passes out in batches of what the budget allows by now."""
        members = [
            tuple(side[index] for index in batch)
            for side in self._sides(passes)
            for batch in self._pack([passes[index] for index in side])
        ]
        return Plan(tuple(self._lay([passes[index] for index in batch]) for batch in members), tuple(members))

    def run(self, plan: Plan) -> list[float | None]:
        """`nll` of the passes that were planned."""
        return unpack(plan.members, [self._halving(batch) for batch in plan.batches])

    def _sides(self, passes: Sequence[Pass]) -> list[list[int]]:
        """Passes that may share a batch: some rotary embeddings turn on the longest sequence of the whole batch."""
        sides: list[list[int]] = [[], []]
        for index, each in enumerate(passes):
            sides[len(each.ids) - 1 > self._border].append(index)
        return sides

    def _pack(self, passes: Sequence[Pass]) -> list[list[int]]:
        if self.is_packed:
            return pack_shared([each.ids[:-1] for each in passes], self._budget.allowed)
        return pack_padded([len(each.ids) for each in passes], self._budget.allowed)

    def _lay(self, passes: Sequence[Pass]) -> Batch:
        return lay_packed(passes) if self.is_packed else lay_padded(passes)

    def _halving(self, batch: Batch) -> list[float | None]:
        """Run a batch; where memory is short, its halves, down to one."""
        found = self._attempt(batch)
        if found is not None:
            self._budget.fitted(batch.longest, batch.num_tokens, self._gauge.share())
            return [*found]
        # Here the failed attempt's frame is gone, and with it the tensors that its traceback held.
        self._gauge.recover()
        self._budget.failed(batch.longest, batch.num_tokens)
        passes = batch.passes
        _log.warning("out of memory: passes=%d tokens=%d longest=%d", len(passes), batch.num_tokens, batch.longest)
        if len(passes) == 1:
            return [None]
        middle = len(passes) // 2
        return self._halving(self._lay(passes[:middle])) + self._halving(self._lay(passes[middle:]))

    def _attempt(self, batch: Batch) -> list[float] | None:
        """One forward pass, or None where memory ran out."""
        self._gauge.begin()
        try:
            return self._forward(batch)
        except RuntimeError as error:
            if is_out_of_memory(error):
                return None
            raise

    @torch.inference_mode()
    def _forward(self, batch: Batch) -> list[float]:
        """One forward pass."""
        hidden = states(self._network, batch)  # (B, T, width)
        scored = hidden.flatten(0, 1)[batch.rows.to(hidden.device)]  # (N, width)
        return mean_nll(scored, batch.targets.to(hidden.device), batch.counts, self._head)


def _rope_border(network: PreTrainedModel) -> int:
    """The length from which on rotary embeddings of some models change for the whole batch (LongRoPE, Phi-3)."""
    ropes = getattr(network.config.get_text_config(), "rope_parameters", None) or {}
    found = [
        int(rope["original_max_position_embeddings"])
        for rope in (ropes, *ropes.values())  # one for all layers, or one for each sort of them
        if isinstance(rope, dict) and rope.get("rope_type") == "longrope"
    ]
    return min(found, default=sys.maxsize)
