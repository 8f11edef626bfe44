"""Laws of the tensor functions, over every sort of output matrix."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import (
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    PreTrainedConfig,
)
from transformers.utils import ModelOutput

from star_agents.core.errors import ScorerError
from star_agents.scoring.conventions import Pass
from star_agents.scoring.ifd import mean_nll, output_head, token_nll
from star_agents.scoring.laying import Batch, lay_packed, lay_padded
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.probe import check_head
from star_agents.scoring.products import even
from star_agents.scoring.tokens import Tokens
from tests.scoring.tiny import SIZES, VOCABULARY, reference_nll, tiny_network, tiny_tokenizer


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SIZES),
        GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1),
        GPTNeoXConfig(**SIZES),
        Gemma2Config(**SIZES, final_logit_softcapping=5.0),
        CohereConfig(**SIZES, logit_scale=0.25),
        GraniteConfig(**SIZES, logits_scaling=3.0),
    ],
    ids=lambda config: config.model_type,
)
def test_losses_are_those_of_the_models_own_logits(config: PreTrainedConfig) -> None:
    """Whatever the architecture does behind its output matrix: capping, scaling, dividing."""
    passes = [Pass((0, 5, 9, 300, 17, 17), 2), Pass((3, 4), 1), Pass((7, *range(40, 60)), 10)]
    network = tiny_network(config)
    alone = [reference_nll(network, each) for each in passes]
    model = LanguageModel(network, Tokens(tiny_tokenizer(), network.config))
    assert model.nll(passes) == pytest.approx(alone, rel=1e-5)


def test_an_unknown_way_to_logits_is_refused() -> None:
    """A model that does more behind its output matrix than we know cannot be scored wrongly: it is not scored."""
    network = tiny_network()
    own_forward = network.forward

    def doubled(**inputs: Tensor) -> ModelOutput:
        output = own_forward(**inputs)
        output.logits = output.logits * 2
        return output

    network.forward = doubled
    with pytest.raises(ScorerError, match="LlamaForCausalLM"):
        LanguageModel(network, Tokens(tiny_tokenizer(), network.config))


@pytest.mark.fault("F-57")
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_f57_broken_weights_are_no_strange_architecture(share: float) -> None:
    """A model some or all of whose weights are NaN is loaded: each sample's score says what is wrong with it."""
    network = tiny_network()
    weight = network.get_output_embeddings().weight
    with torch.no_grad():
        weight[: max(1, int(share * len(weight)))] = math.nan
    check_head(network, output_head(network))


@given(st.integers(1, 30), st.integers(1, 40))
@settings(max_examples=30)
def test_chunked_equals_full(count: int, chunk: int) -> None:
    """However few tokens meet the output matrix at a time, and never more than a chunk."""
    matrix = torch.randn(16, 50, generator=torch.Generator().manual_seed(count))
    hidden, targets = matrix.T[:count] * 3, torch.arange(count)
    seen: list[int] = []

    def head(states: Tensor) -> Tensor:
        seen.append(len(states))
        return states @ matrix

    full = functional.cross_entropy(hidden @ matrix, targets, reduction="none")
    torch.testing.assert_close(token_nll(hidden, targets, head, chunk), full, rtol=1e-5, atol=1e-6)
    assert max(seen) <= chunk


@pytest.mark.parametrize("lay", [lay_padded, lay_packed])
def test_prompt_and_padding_never_meet_the_output_matrix(lay: Callable[[list[Pass]], Batch]) -> None:
    """Only scored positions are projected: 2 + 1, and rows of nothing that make their number even."""
    seen: list[Tensor] = []
    project = output_head(tiny_network())

    def head(states: Tensor) -> Tensor:
        seen.append(states)
        return project(states)

    batch = lay([Pass((1, 2, 3, 4), 2), Pass((5, 6), 1)])
    hidden = torch.randn(batch.num_tokens, 32)
    mean_nll(hidden[batch.rows], batch.targets, batch.counts, head, chunk=100)
    (states,) = seen
    assert torch.equal(states[:3], hidden[batch.rows])
    assert states.shape == (even(3), 32)
    assert not states[3:].any()


def test_float32_holds_where_the_model_is_bfloat16() -> None:
    """Log-softmax is taken in float32, whatever the weights are in."""
    head = output_head(tiny_network().bfloat16())
    assert head(torch.randn(2, 32).bfloat16()).dtype is torch.float32
